"""Over which axes is a weight normalized that is computed from parameters? Found by perturbation.

Weight norm (Salimans & Kingma 2016, https://arxiv.org/abs/1602.07868), spectral norm (Miyato et al.
2018, https://arxiv.org/abs/1802.05957) and any other re-parametrization that torch knows. Not for:
what a layer does with data (`exporters.statistics.axes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from bundle.document import Document
from exporters.statistics import perturb
from exporters.statistics.shared import Shared, shared_axes

__all__ = ["WeightAxes", "measure_weights"]

_POSITIONS = 24
_NAMES = ("O", "I", "kH", "kW")


class WeightAxes(Document):
    """A weight that is computed from parameters.

    Attributes:
        weight: its name in the layer.
        kind: what computes it (``WeightNorm``, ``SpectralNorm`` …).
        axes: of the weight, along which its numbers share a norm.
    """

    weight: str
    kind: str
    axes: tuple[Shared, ...]


@dataclass(frozen=True, slots=True)
class _Computed:
    weight: str
    kind: str
    source: str  # the parameter of the weight's shape that it is computed from


def measure_weights(layer: nn.Module) -> Iterator[WeightAxes]:
    """Every weight of a layer that is computed from a parameter of its shape.

    Args:
        layer: a copy in float64, whose parameters are written to and put back.
    """
    for computed in _computed(layer):
        values = layer.get_parameter(computed.source)
        own = values.detach().clone()

        def compute(
            x: torch.Tensor, computed: _Computed = computed, values: torch.Tensor = values
        ) -> torch.Tensor:
            values.copy_(x)
            return _weight_of(layer, computed)

        if _weight_of(layer, computed).shape != own.shape:
            continue
        spans = [1] * own.ndim
        for position in perturb.positions(own.shape, _POSITIONS):
            moves = perturb.moved(compute, own.shape, position)
            spans = [max(pair) for pair in zip(spans, perturb.spans(moves, position), strict=True)]
        values.copy_(own)
        names = (*_NAMES[: own.ndim], *map(str, range(len(_NAMES), own.ndim)))
        yield WeightAxes(
            weight=computed.weight,
            kind=computed.kind,
            axes=shared_axes(spans, tuple(own.shape), names),
        )


def _computed(layer: nn.Module) -> Iterator[_Computed]:
    if parametrize.is_parametrized(layer):
        for weight, steps in layer.get_submodule("parametrizations").named_children():
            sources = dict(steps.named_parameters())
            kinds = (type(step).__name__.lstrip("_") for step in steps.children())
            if sources:
                largest = max(sources, key=lambda name: sources[name].numel())
                source = f"parametrizations.{weight}.{largest}"
                yield _Computed(weight, " + ".join(kinds), source)
    for hook in layer._forward_pre_hooks.values():  # noqa: SLF001 - torch has no other list
        if isinstance(hook, WeightNorm):
            yield _Computed(hook.name, type(hook).__name__, f"{hook.name}_v")
        elif isinstance(hook, SpectralNorm):
            yield _Computed(hook.name, type(hook).__name__, f"{hook.name}_orig")


def _weight_of(layer: nn.Module, computed: _Computed) -> torch.Tensor:
    for hook in layer._forward_pre_hooks.values():  # noqa: SLF001 - torch has no other list
        if isinstance(hook, WeightNorm | SpectralNorm) and hook.name == computed.weight:
            hook(layer, ())  # sets the weight as it does before each call
    weight: torch.Tensor = getattr(layer, computed.weight)
    return weight.detach().clone()
