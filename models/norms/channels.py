"""Normalizations over the channels of each pixel."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.Module):
    """Layer normalization over the channels of each pixel of a channels-first map.

    Layer normalization is by Ba et al. 2016 (arXiv:1607.06450); this arrangement is ConvNeXt's
    (Liu et al. 2022, arXiv:2201.03545).
    """

    def __init__(self, features: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`: (batch, features, height, width)."""
        channels_last = x.permute(0, 2, 3, 1)
        y = F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


class PixelNorm(nn.Module):
    """Division by the root mean square over the features; no parameters.

    Karras et al. 2018 (arXiv:1710.10196), section 4.2, with their epsilon.
    """

    def __init__(self, *, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`: (batch, features, ...) over its features."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + self.eps)
