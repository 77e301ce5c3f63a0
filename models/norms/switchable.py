"""Switchable normalization: a learned mixture of the statistics of IN, LN and BN.

Luo et al. 2018 (arXiv:1806.10779). Means and variances are mixed separately, each with the softmax
of its own learned weights; all three come from the mean and the variance of single maps, which are
computed once. They are combined so that nothing cancels when the mean is large: `var_ln =
mean(var_in) + mean((mean_in - mean_ln)^2)` and not `mean(var_in + mean_in^2) - mean_ln^2`. As in
the authors' code the variance of a map is the unbiased one, so a map needs two pixels.

In eval mode the batch part is the running statistics, and nothing reaches over the batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Moments = tuple[Tensor, Tensor]


def _pool(moments: Moments, dim: int) -> Moments:
    """Combine the mean and variance of equally large parts along `dim`."""
    mean_parts, var_parts = moments
    mean = mean_parts.mean(dim=dim, keepdim=True)
    spread = (mean_parts - mean).square().mean(dim=dim, keepdim=True)
    return mean, var_parts.mean(dim=dim, keepdim=True) + spread


class _SwitchableNorm(nn.Module):
    """What the variants share: the mixture and the running statistics."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, *, mixed: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.mean_weight = nn.Parameter(torch.ones(mixed))
        self.var_weight = nn.Parameter(torch.ones(mixed))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def _remember(self, batch: Moments) -> Moments:
        """Move the running statistics towards those of a batch, and use the batch's own."""
        with torch.no_grad():
            self.running_mean.lerp_(batch[0].flatten(), self.momentum)
            self.running_var.lerp_(batch[1].flatten(), self.momentum)
        return batch

    def _recall(self, x: Tensor) -> Moments:
        """Use the running statistics, in a shape that fits `x`."""
        shape = (1, -1, *(1,) * (x.dim() - 2))
        return self.running_mean.reshape(shape), self.running_var.reshape(shape)

    def _mix(self, x: Tensor, parts: tuple[Moments, ...]) -> Tensor:
        """Normalize by the mixture of the parts, then scale and shift."""
        mean_weight = F.softmax(self.mean_weight, dim=0)
        var_weight = F.softmax(self.var_weight, dim=0)
        mean = sum(weight * part[0] for weight, part in zip(mean_weight, parts, strict=True))
        var = sum(weight * part[1] for weight, part in zip(var_weight, parts, strict=True))
        shape = (1, -1, *(1,) * (x.dim() - 2))
        y = (x - mean) * torch.rsqrt(var + self.eps)
        scaled: Tensor = y * self.weight.reshape(shape) + self.bias.reshape(shape)
        return scaled


class SwitchableNorm1d(_SwitchableNorm):
    """Switchable normalization of features: a mixture of layer and batch statistics.

    Without a spatial extent there are no instance statistics, as in the authors' code.

    Args:
        features: the number of features.
        eps: what is added to the variance.
        momentum: the part of a batch in the running statistics (torch's sense: 0.1 is slow).
    """

    def __init__(self, features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(features, mixed=2, eps=eps, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`: (batch, features)."""
        layer = x.mean(dim=1, keepdim=True), x.var(dim=1, keepdim=True)
        if self.training:
            batch = self._remember((x.mean(dim=0, keepdim=True), x.var(dim=0, keepdim=True)))
        else:
            batch = self._recall(x)
        return self._mix(x, (layer, batch))


class SwitchableNorm2d(_SwitchableNorm):
    """Switchable normalization of maps: a mixture of instance, layer and batch statistics.

    Args:
        features: the number of channels.
        eps: what is added to the variance.
        momentum: the part of a batch in the running statistics (torch's sense: 0.1 is slow).
    """

    def __init__(self, features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(features, mixed=3, eps=eps, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`: (batch, features, height, width)."""
        instance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), keepdim=True)
        layer = _pool(instance, dim=1)
        batch = self._remember(_pool(instance, dim=0)) if self.training else self._recall(x)
        return self._mix(x, (instance, layer, batch))
