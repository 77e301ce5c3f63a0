"""Remove arithmetic that changes nothing, by exact comparison. Nothing is "close to zero" here.

onnxscript's own rules for this (`x + 0`, `x * 1`, …) compare with an absolute tolerance of 1e-8 and
a relative one of 1e-5, which deletes the epsilon of a normalization and with it its protection
against a division by zero.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from exporters.graph.values import (
    bypass,
    constant,
    dims,
    first_input,
    is_op,
    optional_input,
    remove_unused_initializers,
)

_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
_COMMUTES = frozenset({"Add", "Mul"})
_BIASED = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "LayerNormalization": 2}


def tidy(graph: ir.Graph) -> bool:
    """Take out Identity, neutral arithmetic, biases of zeros and unused outputs of a BatchNorm.

    Args:
        graph: Changed in place; its subgraphs are left alone.

    Returns:
        Whether anything was removed.
    """
    changed = False
    for node in list(graph):
        if is_op(node, "Identity"):
            changed |= bypass(node, first_input(node))
        elif is_op(node, *_NEUTRAL):
            changed |= _remove_neutral(node)
        elif is_op(node, *_BIASED):
            changed |= _remove_zero_bias(node)
        elif is_op(node, "BatchNormalization") and len(node.outputs) > 1:
            changed |= _remove_statistics_outputs(node)
    return changed


def _remove_neutral(node: ir.Node) -> bool:
    """Remove x + 0, 0 + x, x - 0, x * 1, 1 * x and x / 1 that also leave the shape alone."""
    orders = [(0, 1), (1, 0)] if node.op_type in _COMMUTES else [(0, 1)]
    for data_index, neutral_index in orders:
        data, array = node.inputs[data_index], constant(node.inputs[neutral_index])
        if data is None or array is None or constant(data) is not None:
            continue
        if not bool((array == _NEUTRAL[node.op_type]).all()) or not _keeps_shape(data, array):
            continue
        return bypass(node, data)
    return False


def _keeps_shape(data: ir.Value, array: np.ndarray) -> bool:
    """Whether broadcasting with the array leaves the data's shape as it is."""
    shape = dims(data)
    if shape is None:
        return array.ndim == 0
    if array.ndim > len(shape):
        return False
    trailing = shape[len(shape) - array.ndim :]
    return all(size in (1, own) for size, own in zip(array.shape, trailing, strict=True))


def _remove_zero_bias(node: ir.Node) -> bool:
    index = _BIASED[node.op_type]
    bias = optional_input(node, index)
    array = constant(bias)
    if bias is None or array is None or array.any():
        return False
    node.resize_inputs(index)
    remove_unused_initializers([bias])
    return True


def _remove_statistics_outputs(node: ir.Node) -> bool:
    """Older exporters also declare the running statistics as outputs, which inference forbids."""
    extra = node.outputs[1:]
    if node.attributes.get_int("training_mode", 0) or any(
        output.uses() or output.is_graph_output() for output in extra
    ):
        return False
    node.resize_outputs(1)
    return True
