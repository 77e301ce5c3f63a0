"""Weight standardization."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightStandardizedConv2d(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1.

    Qiao et al. 2019 (arXiv:1903.10520), equations 5 to 7. The standardized weight is a function of
    the parameters alone; at inference it is a constant.
    """

    weight_eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`: (batch, in_channels, height, width) with the standardized filters."""
        centred = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        weight = centred * torch.rsqrt(variance + self.weight_eps)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
