"""Compute at export what does not depend on the inputs. Keeps nothing that needs run time.

Every operation is evaluated by itself and its result rounded once to the dtype that the graph
declares, as PyTorch does; nothing is carried along in a wider type, so that a constant which the
model itself computes in float32 (the frequencies of a timestep embedding, say) has the same bits
in the file as in eager mode:

- arithmetic, reductions and products run in float64 on NumPy (by ONNX's reference
  implementation). For + - * / and sqrt the result is the one IEEE 754 demands of float32; sums
  are more accurate than any float32 sum, whatever the order.
- elementary functions run in PyTorch: float32 `exp` is not standardized, and an ulp of a frequency
  times a timestep of 1000 is an order of magnitude more than the model's own noise.

There is no limit on the size of what is folded (merged weights are large), with two exceptions:
what fill and broadcasting blow up (masks, grids) is left to run time when large, and a large weight
that has other readers is not copied just to change its layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx.reference.ops
import onnx_ir as ir
import torch

from exporters.graph.values import (
    FLOATS,
    Array,
    add_initializer,
    constant,
    is_op,
    optional_input,
    remove_unused_initializers,
)

LARGE = 2**18
"""Elements (1 MiB of float32) above which a result may not be larger than its inputs."""
LARGE_LAYOUT = 2**20
"""Elements (4 MiB of float32) above which a shared weight is not copied to transpose it."""

_GRAPHS = frozenset({ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS})
_PRODUCTS = frozenset({"MatMul", "Gemm", "Einsum"})
"""What makes large weights from small ones: low-rank updates and factorizations."""
_LAYOUT = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice"})
_KEPT = frozenset(
    {
        "Constant",
        "RandomUniform",
        "RandomNormal",
        "RandomUniformLike",
        "RandomNormalLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QuantizeLinear",
    }
)
_ELEMENTARY: dict[str, Callable[..., torch.Tensor]] = {
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Log": torch.log,
    "Pow": torch.pow,
    "Range": torch.arange,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": torch.nn.functional.softplus,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}
_ALONG_AXIS: dict[str, Callable[..., torch.Tensor]] = {
    "LogSoftmax": torch.log_softmax,
    "Softmax": torch.softmax,
}


def fold_constants(model: ir.Model) -> bool:
    """Replace every node whose inputs are all constant by its result.

    Args:
        model: Changed in place, with its subgraphs.

    Returns:
        Whether anything was folded.
    """
    version = model.opset_imports.get("", 0)
    folded = False
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if _foldable(node):
            results = _evaluate(node, version)
            if results is not None:
                _replace(node, results)
                folded = True
    return folded


def _foldable(node: ir.Node) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type in _KEPT or not node.inputs:
        return False
    if any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
        return False
    if any(output.is_graph_output() for output in node.outputs):
        return False
    arrays = [constant(value) for value in node.inputs]
    given = [value is not None for value in node.inputs]
    if any(array is None for array, wanted in zip(arrays, given, strict=True) if wanted):
        return False
    if node.op_type in _LAYOUT:
        data = node.inputs[0]
        shared = data is not None and data.is_initializer() and len(data.uses()) > 1
        return not (shared and arrays[0] is not None and arrays[0].size > LARGE_LAYOUT)
    return True


def _evaluate(node: ir.Node, version: int) -> list[Array] | None:
    """The results of a node with constant inputs, None where they cannot or should not be had."""
    inputs = [constant(value) for value in node.inputs]
    output = _output_type(node)
    with np.errstate(all="ignore"):
        if output in _TORCH_DTYPES and _is_elementary(node):
            results = _by_torch(node, inputs, _TORCH_DTYPES[output])
        else:
            results = _by_reference(node, inputs, version)
        if results is None:
            return None
        if output in FLOATS:
            results = [
                array.astype(output.numpy()) if array.dtype == np.float64 else array
                for array in results
            ]
    if output is not None and results[0].dtype != output.numpy():
        return None
    size = sum(array.size for array in results)
    given = sum(array.size for array in inputs if array is not None)
    if node.op_type not in _PRODUCTS and size > max(LARGE, given):
        return None
    return results


def _is_elementary(node: ir.Node) -> bool:
    return node.op_type in _ELEMENTARY or node.op_type in _ALONG_AXIS


def _output_type(node: ir.Node) -> ir.DataType | None:
    """The dtype of the first output: as the graph says, else that of the first float input."""
    if node.op_type == "Cast":
        return ir.DataType(node.attributes.get_int("to", ir.DataType.UNDEFINED))
    if node.op_type == "CastLike":
        like = optional_input(node, 1)
        return None if like is None else like.dtype
    declared = node.outputs[0].dtype
    if declared is not None:
        return declared
    floats = [value.dtype for value in node.inputs if value is not None and value.dtype in FLOATS]
    return floats[0] if floats else None


_TORCH_DTYPES = {
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.DOUBLE: torch.float64,
}


def _by_torch(
    node: ir.Node, inputs: Sequence[Array | None], dtype: torch.dtype
) -> list[Array] | None:
    tensors = [_to_torch(array) for array in inputs if array is not None]
    if node.op_type in _ALONG_AXIS:
        axis = node.attributes.get_int("axis", -1)
        result = _ALONG_AXIS[node.op_type](tensors[0], dim=axis)
    elif node.op_type == "Range":
        result = torch.arange(*(tensor.item() for tensor in tensors), dtype=dtype)
    else:
        result = _ELEMENTARY[node.op_type](*tensors)
    # Exact: float64 holds every float; `_evaluate` rounds back to the declared dtype.
    return [result.detach().double().numpy()]


def _to_torch(array: Array) -> torch.Tensor:
    if array.dtype == ir.DataType.BFLOAT16.numpy():
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _by_reference(
    node: ir.Node, inputs: Sequence[Array | None], version: int
) -> list[Array] | None:
    # A conversion is the one operation whose input type is part of what it computes.
    if not is_op(node, "Cast", "CastLike", *_LAYOUT):
        inputs = [_widened(array) for array in inputs]
    attributes = {
        name: ir.serde.serialize_tensor(attribute.value)
        if attribute.type == ir.AttributeType.TENSOR
        else attribute.value
        for name, attribute in node.attributes.items()
    }
    try:
        operator = onnx.reference.ops.load_op("", node.op_type, version)
        results = operator.eval(*inputs, n_outputs=len(node.outputs), **attributes)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        # The reference implementation does not cover every operator and combination of inputs;
        # what it refuses stays in the graph and is computed at run time.
        return None
    arrays = list(results) if isinstance(results, tuple | list) else [results]
    known = all(isinstance(each, np.ndarray | np.generic) for each in arrays)
    if len(arrays) != len(node.outputs) or not known:
        return None
    return [np.asarray(each) for each in arrays]


def _widened(array: Array | None) -> Array | None:
    if array is None or ir.DataType.from_numpy(array.dtype) not in FLOATS:
        return array
    return array.astype(np.float64)


def _replace(node: ir.Node, results: Sequence[Array]) -> None:
    graph, inputs = node.graph, tuple(node.inputs)
    if graph is None:
        return
    for output, array in zip(node.outputs, results, strict=True):
        name = output.name or node.op_type
        folded = add_initializer(graph, array, name=name)
        output.replace_all_uses_with(folded)
    graph.remove(node, safe=True)
    remove_unused_initializers(inputs)
