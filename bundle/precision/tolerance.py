"""How far a coarser precision may move an answer: float32's own error, scaled. Measures nothing.

The rounding error of an evaluation is, to first order, proportional to the precision's epsilon; the
factor is the conditioning of the network on these inputs and is the same for every precision. The
error of float32 against float64 measures it.
"""

import numpy as np
import onnx

from bundle.comparison import ERROR_MULTIPLE, Tolerance, derive_tolerance
from bundle.precision.kinds import Precision
from bundle.tensors import Datatype

__all__ = ["FLOOR_STEPS", "TF32_ERRORS", "coarsest", "explained", "precision_tolerance"]

FLOOR_STEPS = 4.0
"""The least tolerance, in steps of the precision at the largest value: a short network may hit the
float64 result by luck in float32."""

TF32_ERRORS = (2.0**-14, 2.0**-7)
"""The size of TF32's errors as part of the largest value: its epsilon is 2**-10, and a sum of many
rounded products may be closer, a deep network further away."""

_QUANTIZING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})
_OF_ELEMENT = {Datatype.FP16.onnx: Precision.FP16, Datatype.BF16.onnx: Precision.BF16}


def explained(reference64: np.ndarray, single32: np.ndarray, precision: Precision) -> float:
    """The error that rounding in a precision leads to expect, to first order.

    Args:
        reference64: a value in float64.
        single32: the same in float32; finite elements count.
        precision: in which it is to be computed.

    Returns:
        ``max|single32 - reference64| * epsilon(precision) / epsilon(float32)``.
    """
    single = single32.astype(np.float64)
    finite = np.isfinite(reference64) & np.isfinite(single)
    error = np.max(np.abs(single - reference64), initial=0.0, where=finite)
    return float(error) * precision.coarseness


def precision_tolerance(
    reference64: np.ndarray, single32: np.ndarray, precision: Precision | None
) -> Tolerance:
    """How far a value in a precision may be from float64.

    Args:
        reference64: the value in float64.
        single32: the same in float32.
        precision: in which it was computed; float32 where it is None.

    Returns:
        8 times the `explained` error, and at least 4 steps of the largest value.
    """
    if precision is None:
        return derive_tolerance(reference64, single32)
    expected = explained(reference64, single32, precision)
    scale = float(np.max(np.abs(reference64), initial=0.0, where=np.isfinite(reference64)))
    floor = FLOOR_STEPS * precision.epsilon * scale
    return Tolerance(
        atol=max(ERROR_MULTIPLE * expected, floor),
        rtol=0.0,
        source=f"the larger of {ERROR_MULTIPLE:g} x float32's own error x"
        f" {precision.coarseness:g}, as coarse as {precision} is ({expected:.3g}), and"
        f" {FLOOR_STEPS:g} steps of {precision} at the largest value ({floor:.3g})",
    )


def coarsest(model: onnx.ModelProto) -> Precision | None:
    """The coarsest precision that a graph computes in; None where that is float32 or wider."""
    found = set()
    for node in model.graph.node:
        if node.op_type in _QUANTIZING:
            found.add(Precision.INT8)
        found |= {_OF_ELEMENT[a.i] for a in node.attribute if a.name == "to" and a.i in _OF_ELEMENT}
    elements = [tensor.data_type for tensor in model.graph.initializer]
    elements += [value.type.tensor_type.elem_type for value in model.graph.input]
    found |= {_OF_ELEMENT[element] for element in elements if element in _OF_ELEMENT}
    return max(found, key=lambda precision: (precision.epsilon, precision), default=None)
