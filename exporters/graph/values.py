"""Read and write the constants, shapes and uses of a graph. Knows nothing of normalization."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

Array = np.ndarray
FLOATS = frozenset(
    {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}
)


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether the node is one of these operators of the standard ONNX domain."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def constant(value: ir.Value | None) -> Array | None:
    """The array of an initializer or of a Constant node, in its own dtype.

    Returns:
        None for everything that is known only at run time, which includes an initializer that is
        also a graph input: the caller may override it.
    """
    if value is None or value.is_graph_input():
        return None
    tensor = value.const_value
    if tensor is None:
        tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    return tensor.numpy().view(tensor.dtype.numpy())


def constant64(value: ir.Value | None) -> Array | None:
    """The same as `constant`, converted to float64; None for what is not a float."""
    array = constant(value)
    if array is None or value is None or value.dtype not in FLOATS:
        return None
    return array.astype(np.float64)


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element, whatever its rank."""
    array = constant(value)
    return float(array.item()) if array is not None and array.size == 1 else None


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """The numbers in an integer constant, such as axes or pads."""
    array = constant(value)
    if array is None or array.dtype.kind not in "iu":
        return None
    return tuple(int(number) for number in array.reshape(-1))


def optional_input(node: ir.Node, index: int) -> ir.Value | None:
    """The input at the index, or None where the node leaves it out."""
    return node.inputs[index] if index < len(node.inputs) else None


def first_input(node: ir.Node) -> ir.Value:
    """The data input of a node.

    Raises:
        ValueError: The node has no first input, so the graph is not valid ONNX.
    """
    value = optional_input(node, 0)
    if value is None:
        msg = f"node {node.name!r} ({node.op_type}) has no input 0; the graph is not valid ONNX"
        raise ValueError(msg)
    return value


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes the value, when it is one of the given operators."""
    node = None if value is None else value.producer()
    return node if is_op(node, *op_types) else None


def has_single_use(value: ir.Value) -> bool:
    """Whether exactly one input of one node of the same graph reads the value, and nothing else."""
    uses = tuple(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return False
    node = value.producer()
    return node is None or uses[0].node.graph is node.graph


def dims(value: ir.Value) -> tuple[int | str | None, ...] | None:
    """The shape: sizes, names of dynamic sizes, None for an unknown size; None: unknown rank."""
    if value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def rank(value: ir.Value) -> int | None:
    """The number of dimensions, None when unknown."""
    return None if value.shape is None else len(value.shape)


def size_at(value: ir.Value, axis: int) -> int | None:
    """The size along an axis (negative counts from the end), None when it is not static."""
    shape = dims(value)
    if shape is None or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    return size if isinstance(size, int) else None


def rounded(array: Array, like: ir.Value) -> Array | None:
    """A float64 result in the dtype of a value, rounded once.

    Returns:
        None when the narrower dtype cannot hold it (float16 ends at 65504), so that a fold is not
        made rather than made into infinities, or when the result is not finite to begin with.
    """
    if like.dtype not in FLOATS:
        return None
    with np.errstate(over="ignore"):
        narrow = array.astype(like.dtype.numpy())
    return narrow if bool(np.isfinite(narrow.astype(np.float64)).all()) else None


def unused_node_name(graph: ir.Graph, like: ir.Node, op_type: str) -> str:
    """A name for a node that takes the place of another: `block.norm/Div` → `block.norm/OpType`."""
    scope, slash, _ = (like.name or "").rpartition("/")
    wanted = f"{scope}{slash}{op_type}"
    taken, name, number = {node.name for node in graph}, wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def add_initializer(graph: ir.Graph, array: Array, *, name: str) -> ir.Value:
    """Register a new constant; a number is appended to a name that is taken already."""
    taken = graph.initializers
    unique, number = name, 0
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=unique)
    value = ir.Value(name=unique, type=ir.TensorType(tensor.dtype), shape=tensor.shape)
    value.const_value = tensor
    graph.register_initializer(value)
    return value


def remove_unused_initializers(values: Iterable[ir.Value | None]) -> None:
    """Drop those initializers among the values that nothing reads any more."""
    for value in values:
        if value is None or not value.is_initializer() or value.is_graph_input():
            continue
        graph, name = value.graph, value.name
        unused = not value.uses() and not value.is_graph_output()
        if graph is not None and name is not None and unused:
            graph.initializers.pop(name, None)


def remove_node(node: ir.Node, *, carrier: ir.Value) -> None:
    """Take out a node with one output; the carrier takes over its uses, its name and its shape.

    The carrier must be computed by a node and have no other name that matters: it is renamed, so
    that whoever looks for the removed node's value by its name finds its numbers.
    """
    output, inputs, graph = node.outputs[0], tuple(node.inputs), node.graph
    if graph is None:
        msg = f"node {node.name!r} is in no graph"
        raise ValueError(msg)
    name = output.name
    output.replace_all_uses_with(carrier, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    output.name = None
    carrier.name = name
    if output.shape is not None:
        carrier.shape = output.shape
    if output.type is not None:
        carrier.type = output.type
    remove_unused_initializers(inputs)


def bypass(node: ir.Node, data: ir.Value) -> bool:
    """Take out a node with one output that equals a value; that value keeps its own name.

    Returns:
        False, with nothing changed, where the output is an output of the graph and the value cannot
        become it, because it is an input, a constant, or another output.
    """
    output, inputs, graph = node.outputs[0], tuple(node.inputs), node.graph
    if graph is None:
        return False
    if output.is_graph_output():
        source = data.producer()
        if source is None or source.graph is not graph or data.is_graph_output():
            return False
        remove_node(node, carrier=data)
        return True
    output.replace_all_uses_with(data)
    graph.remove(node, safe=True)
    remove_unused_initializers(inputs)
    return True
