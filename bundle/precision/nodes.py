"""One node by itself: what it reads, in which types, and the same node in float64. Runs nothing."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from bundle.tensors import Datatype

__all__ = ["alone", "captured", "constants", "element_types", "widened"]

_DOUBLE = onnx.TensorProto.DOUBLE
_FLOATS = frozenset(kind.onnx for kind in Datatype if kind.is_float)
_TYPES = frozenset({"to", "dtype"})
"""Attributes that name the element type of an output."""
_NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def captured(node: onnx.NodeProto) -> tuple[str, ...]:
    """The values of the outer graph that the subgraphs of a node read."""
    found: dict[str, None] = {}
    for graph in _subgraphs(node):
        own = {value.name for value in graph.input} | {t.name for t in graph.initializer}
        for inner in graph.node:
            found |= dict.fromkeys(n for n in (*inner.input, *captured(inner)) if n not in own)
            own.update(inner.output)
        found |= dict.fromkeys(v.name for v in graph.output if v.name not in own)
    return tuple(name for name in found if name)


def alone(node: onnx.NodeProto, reads: Sequence[str]) -> onnx.GraphProto:
    """A graph of one node, whose inputs are all that it reads."""
    return onnx.helper.make_graph(
        [node],
        "node",
        [onnx.ValueInfoProto(name=name) for name in reads],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )


def widened(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with float64 in the place of every narrower float that it names."""
    wide = onnx.NodeProto()
    wide.CopyFrom(node)
    for attribute in wide.attribute:
        if attribute.name in _TYPES and attribute.i in _FLOATS:
            attribute.i = _DOUBLE
        if attribute.HasField("t"):
            _widen(attribute.t)
    for graph in _subgraphs(wide):
        for tensor in graph.initializer:
            _widen(tensor)
        inner = [widened(each) for each in graph.node]
        del graph.node[:]
        graph.node.extend(inner)
    return wide


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The ``onnx.TensorProto`` code of each value of the main graph, declared or inferred."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (ValueError, onnx.shape_inference.InferenceError):
        graph = model.graph  # over 2 GiB, or contradictory: what it declares is all there is
    values = [*graph.input, *graph.value_info, *graph.output]
    types: dict[str, int] = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The weights of a graph and the numbers of its Constant nodes, by name."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        for attribute in node.attribute:
            if attribute.name == "value":
                found[node.output[0]] = attribute.t
            elif attribute.name in _NUMBERS:
                value = np.asarray(onnx.helper.get_attribute_value(attribute))
                number = value.astype(_NUMBERS[attribute.name])
                found[node.output[0]] = numpy_helper.from_array(number, node.output[0])
    return found


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _FLOATS:
        array = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
