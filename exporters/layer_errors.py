"""How far each norm layer's own output is from torch's, inside the file. Judges nothing.

A fold keeps the name of the value that a layer gave, on whichever node computes it now (the
convolution that took a batch norm in, say). So that value can be looked at in the file and compared
with what the layer's module returns in float64: a wrong fold has a name, not just a wrong model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch

from bundle import OpenModel, Tolerance, derive_tolerance, open_model
from exporters.calls import Call
from exporters.eager import Eager, to_numpy

__all__ = ["LayerError", "measure_layers"]


@dataclass(frozen=True, slots=True)
class LayerError:
    """How far a layer's output in the file is from torch's.

    Attributes:
        error: the largest absolute difference from torch's float64.
        tolerance: derived from torch's own float32 error at the same place.
    """

    error: float
    tolerance: Tolerance

    @property
    def excess(self) -> float:
        """The error as a part of what is allowed; infinite where it is no number."""
        if self.error == 0:
            return 0.0
        if np.isnan(self.error) or not self.tolerance.atol:
            return float("inf")
        return self.error / self.tolerance.atol


def measure_layers(
    model: onnx.ModelProto,
    layers: Collection[str],
    *,
    leaving: Mapping[str, str],
    reference: Eager,
    eager: Eager,
    call: Call,
    calls: Sequence[Sequence[torch.Tensor]],
) -> dict[str, LayerError]:
    """Compare each layer's output in the file with torch's.

    What went wrong in a layer shows with any input. What shows with one and not with another is a
    jump that rounding went over before the layer: a selection, an interpolation at the edge of a
    cell. So a layer is judged by the call in which it is nearest to torch.

    Args:
        model: the file.
        layers: qualified names of modules.
        leaving: for each module, the value that the rest of the graph took from it when it was
            emitted.
        reference: the model in float64.
        eager: the model in its own precision.
        call: names the inputs.
        calls: the inputs of each call.

    Returns:
        By layer. A layer has no entry where no value of the file is its output any more (its
        arithmetic went into a node behind it), where it ran more than once, or not at all.
    """
    produced = {name for node in model.graph.node for name in node.output}
    carriers = {layer: leaving[layer] for layer in layers if leaving.get(layer) in produced}
    if not carriers:
        return {}
    opened = _open_with(model, set(carriers.values()))
    best: dict[str, LayerError] = {}
    for tensors in calls:
        wanted = reference.outputs_of(carriers, tensors)
        single = eager.outputs_of(wanted, tensors)
        feeds = {name: to_numpy(t) for name, t in zip(call.names, tensors, strict=True)}
        got = opened.run(feeds, sorted(set(carriers.values())))
        for layer in wanted.keys() & single.keys():
            value = got[carriers[layer]]
            if wanted[layer].shape == value.shape:
                found = LayerError(
                    error=_largest_difference(wanted[layer], value),
                    tolerance=derive_tolerance(wanted[layer], single[layer]),
                )
                if layer not in best or found.excess < best[layer].excess:
                    best[layer] = found
    return best


def _open_with(model: onnx.ModelProto, values: Collection[str]) -> OpenModel:
    """The model with some of its inner values as outputs too."""
    open_ended = onnx.ModelProto()
    open_ended.CopyFrom(model)
    given = {value.name for value in model.graph.output}
    types = {value.name: value for value in model.graph.value_info}
    open_ended.graph.output.extend(types[name] for name in sorted(set(values) - given))
    return open_model(open_ended)


def _largest_difference(wanted: np.ndarray, got: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.abs(wanted - got.astype(np.float64)).max(initial=0.0))
