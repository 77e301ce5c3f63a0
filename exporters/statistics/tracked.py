"""The layers of a model that keep running statistics. Not for: judging them, or their inputs."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from exporters.layers import is_norm, statistics_of

__all__ = ["Tracked", "tracked_layers"]

_USUAL_EPSILON = 1e-5
"""Of a class that has its epsilon written into its code: torch's default, and most others'."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A layer with running statistics.

    Attributes:
        name: its qualified name, the first where it is registered under several.
        kind: its class.
        module: the layer itself, for hooks.
        mean: μ, shape (channels,) float64.
        variance: σ², shape (channels,) float64.
        scale: γ, shape (channels,) float64; ones without an affine part.
        shift: β, shape (channels,) float64; zeros without an affine part.
        epsilon: ε.
        momentum: how much a batch moves them (torch's sense: 0.1 is slow); None where they are
            cumulative, or where the class is not torch's and may mean something else.
        updates: how many batches have moved them; None where nobody counted.
        per_instance: whether they average over the statistics of single instances, as
            ``nn.InstanceNorm*d(track_running_stats=True)`` does.
        is_learned: whether the layer itself moves them in training; frozen ones are not.
        resolution: of the type that it computes in: the distance from 1 to the next number.
    """

    name: str
    kind: str
    module: nn.Module
    mean: torch.Tensor
    variance: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    epsilon: float
    momentum: float | None
    updates: int | None
    per_instance: bool
    is_learned: bool
    resolution: float

    @property
    def deviation(self) -> torch.Tensor:
        """√(σ² + ε), what the layer divides by: shape (channels,)."""
        return (self.variance + self.epsilon).clamp(min=0).sqrt()


def tracked_layers(model: nn.Module) -> Iterator[Tracked]:
    """Every layer with running statistics, in the order of the model's modules.

    Batch norms of torch and their subclasses, instance norms with running statistics, and the
    classes of other libraries that are named for a norm and have ``running_mean`` and
    ``running_var``, frozen ones among them.
    """
    for name, module in model.named_modules():
        found = statistics_of(module) if is_norm(module) else None
        if found is None:
            continue
        mean = torch.tensor(found.mean, dtype=torch.float64)
        own = isinstance(module, _NormBase)
        counter = getattr(module, "num_batches_tracked", None)
        is_instance = isinstance(module, _InstanceNorm)
        yield Tracked(
            name=name,
            kind=type(module).__name__,
            module=module,
            mean=mean,
            variance=torch.tensor(found.variance, dtype=torch.float64),
            scale=torch.tensor(found.scale or (1.0,) * len(mean), dtype=torch.float64),
            shift=torch.tensor(found.shift or (0.0,) * len(mean), dtype=torch.float64),
            epsilon=_USUAL_EPSILON if found.epsilon != found.epsilon else found.epsilon,
            momentum=getattr(module, "momentum", None) if own else None,
            # torch's instance norms have the counter and never touch it
            updates=int(counter) if isinstance(counter, torch.Tensor) and not is_instance else None,
            per_instance=is_instance,
            is_learned=hasattr(module, "momentum"),
            resolution=torch.finfo(module.running_mean.dtype).eps,
        )
