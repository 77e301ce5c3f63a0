"""Statistics of what goes into each norm layer. Not for: what the layers make of it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bundle import InputStatistics
from exporters.calls import Flat
from exporters.layers import is_norm

__all__ = ["observe_inputs"]


@dataclass(slots=True)
class _Moments:
    """Running sums in float64, of finite elements only."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    def add(self, tensor: torch.Tensor) -> None:
        values = tensor.detach().double()
        values = values[torch.isfinite(values)]
        if not values.numel():
            return
        self.count += values.numel()
        self.total += float(values.sum())
        self.squares += float(values.square().sum())
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def result(self) -> InputStatistics:
        mean = self.total / self.count
        variance = max(self.squares / self.count - mean * mean, 0.0)
        return InputStatistics(
            mean=mean, std=math.sqrt(variance), minimum=self.minimum, maximum=self.maximum
        )


def observe_inputs(
    flat: Flat, calls: Iterable[Sequence[torch.Tensor]]
) -> dict[str, InputStatistics]:
    """Run a copy on some inputs and watch its norm layers.

    Args:
        flat: a copy that may get hooks; they are taken off again.
        calls: the tensors of each call.

    Returns:
        For each norm layer that ran, by its qualified name in the user's model, the statistics of
        its first input, all elements of all calls together.
    """
    moments: dict[str, _Moments] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def before(module: nn.Module, args: tuple[object, ...]) -> None:
            if args and isinstance(args[0], torch.Tensor) and args[0].is_floating_point():
                moments.setdefault(name, _Moments()).add(args[0])

        return flat.model.get_submodule(name).register_forward_pre_hook(before)

    handles = [watch(name) for name, module in flat.model.named_modules() if is_norm(module)]
    try:
        for tensors in calls:
            flat.run(tensors)
    finally:
        for handle in handles:
            handle.remove()
    return {name: found.result() for name, found in moments.items() if found.count}
