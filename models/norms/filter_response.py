"""Filter response normalization."""

import torch
from torch import Tensor, nn


class FilterResponseNorm2d(nn.Module):
    """Division by the root mean square over height and width, with a learned threshold behind.

    Singh & Krishnan 2020 (arXiv:1911.09737): `y = max(weight * x / sqrt(mean(x^2) + eps) + bias,
    threshold)`. Each item and each channel by itself: nothing depends on the batch.
    """

    def __init__(self, features: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1, features, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.threshold = nn.Parameter(torch.zeros(1, features, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`: (batch, features, height, width)."""
        mean_square = x.square().mean(dim=(2, 3), keepdim=True)
        y = x * torch.rsqrt(mean_square + self.eps)
        return torch.maximum(self.weight * y + self.bias, self.threshold)
