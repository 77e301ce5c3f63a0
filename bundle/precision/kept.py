"""Which nodes stay in float32 in a 16-bit variant, and why. Converts nothing.

Measured on ONNX Runtime 1.32 and by rounding each value: LayerNormalization, RMSNormalization and
GroupNormalization compute their statistics in float32 whatever their input is (``stash_type``), and
are right in float16 at inputs of 5000 and with an epsilon of 1e-12. Statistics that are computed by
hand are not: the square of 300 is more than float16 holds, 1 / sqrt(inf) is 0, and the answer stays
finite; an epsilon of 1e-12 is 0 there, and a constant input gives 0 / 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from bundle.certificate import Operator
from bundle.precision.kinds import Precision
from bundle.precision.nodes import constants, element_types

__all__ = ["Kept", "kept_in_float32"]

_STATISTICS = frozenset({
    "InstanceNormalization", "BatchNormalization", "MeanVarianceNormalization", "LpNormalization",
    "LRN",
})  # fmt: skip
_POWERS = frozenset({
    "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceProd", "CumSum", "Pow", "Sqrt", "Reciprocal",
})  # fmt: skip
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div"})
_ANGLES = frozenset({
    "Add", "Cast", "Concat", "Div", "Einsum", "Expand", "MatMul", "Mul", "Neg", "Reshape", "Slice",
    "Sub", "Transpose", "Unsqueeze",
})  # fmt: skip
"""What positions and frequencies go through on their way to a sine or a cosine."""
_STATES = frozenset({"LSTM", "GRU", "RNN", "Scan", "Loop", "If"})
_TINY = 2.0**-14
"""float16 has full precision from here on."""
_MARGIN = 2.0
"""Other inputs than those of the calibration may be so many times as large."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A node that stays in float32.

    Attributes:
        operator: the node.
        output: the name of its first output.
        reason: why, as a phrase.
    """

    operator: Operator
    output: str
    reason: str


def kept_in_float32(
    model: onnx.ModelProto, precision: Precision, largest: Mapping[str, float]
) -> tuple[Kept, ...]:
    """The nodes of the main graph that a 16-bit variant leaves in float32.

    Args:
        model: in float32.
        precision: fp16 or bf16.
        largest: the largest magnitude of each value and weight that was seen in calibration.

    Returns:
        In the order of the graph.
    """
    types = element_types(model)
    return tuple(
        Kept(Operator.of(node), next(filter(None, node.output), ""), reason)
        for node, reason in _reasons(model.graph, precision, largest)
        if any(types.get(name) == onnx.TensorProto.FLOAT for name in node.output)
    )


def _reasons(
    graph: onnx.GraphProto, precision: Precision, largest: Mapping[str, float]
) -> Iterator[tuple[onnx.NodeProto, str]]:
    scalars = _scalars(graph)
    data = _data(graph)
    angles = _angles(graph)
    statistics: set[str] = set()
    for node in graph.node:
        reason = _by_itself(node, scalars, precision)
        if not reason and node.op_type in _ELEMENTWISE and statistics & set(node.input):
            reason = "it reads a statistic, a power or a root that is in float32"
        elif node.op_type in _POWERS or "square" in reason:
            statistics.update(node.output)
        if not reason and angles & set(node.output):
            reason = "on the way to a sine or a cosine, where the absolute error counts"
        if not reason and not data & set(node.output):
            reason = (
                f"a count: beyond {2 / precision.epsilon:g} not each has a value in {precision}"
            )
        if not reason:
            reason = _by_range(node, precision, largest)
        if reason:
            yield node, reason


def _by_itself(node: onnx.NodeProto, scalars: Mapping[str, float], precision: Precision) -> str:
    if node.op_type in _STATISTICS:
        return "the standard leaves it open in which precision its statistics are computed"
    if node.op_type in _POWERS:
        return "a sum, a power or a root of many orders of magnitude"
    if node.op_type == "Mul" and len(set(node.input)) == 1:
        return f"a square: it exceeds {precision.largest:.3g} or loses digits near 0"
    if node.op_type in _STATES:
        return "its state adds up over the steps"
    if node.op_type in {"Add", "Max", "Clip"}:
        tiny = [scalars[n] for n in node.input if 0 < scalars.get(n, 0) < _TINY]
        if tiny:
            return f"an epsilon of {tiny[0]:.2g} is lost beside larger values"
    return ""


def _by_range(node: onnx.NodeProto, precision: Precision, largest: Mapping[str, float]) -> str:
    for name in (*node.input, *node.output):
        if largest.get(name, 0.0) * _MARGIN > precision.largest:
            return (
                f"'{name}' reached {largest[name]:.3g} in calibration; {precision} ends at"
                f" {precision.largest:.3g}"
            )
    return ""


def _scalars(graph: onnx.GraphProto) -> dict[str, float]:
    """The constants of one element."""
    return {
        name: float(numpy_helper.to_array(tensor).reshape(()))
        for name, tensor in constants(graph).items()
        if np.prod(tensor.dims) == 1 and tensor.data_type == onnx.TensorProto.FLOAT
    }


def _angles(graph: onnx.GraphProto) -> set[str]:
    """The values that sines and cosines are taken of, and what those are computed from."""
    angles: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in {"Sin", "Cos"} or (
            node.op_type in _ANGLES and angles & set(node.output)
        ):
            angles.update(node.input)
    return angles


def _data(graph: onnx.GraphProto) -> set[str]:
    """The values that come from float inputs or from weights, not from counts and constants."""
    weights = {t.name for t in graph.initializer if np.prod(t.dims) > 1}
    floats = {v.name for v in graph.input if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    data = weights | floats
    for node in graph.node:
        if data & set(node.input) and node.op_type not in {"Shape", "Size"}:
            data.update(node.output)
    return data
