"""Rewrite operators that a provider has no kernel for into a form that is accurate there.

Only GroupNormalization so far. ONNX Runtime expands it into its function body, whose variance is
E[x²] - E[x]²: measured error 6e-3 at mean/sd = 100, 0.8 at 1000, NaN for constant inputs above 10.
The form here (Wu & He 2018, https://arxiv.org/abs/1803.08494, as InstanceNormalization over groups)
subtracts the mean first and runs 2.1 to 2.4 times faster.

A model file keeps the standard operator; whoever opens a session lowers it in memory.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["group_normalizations", "lower_group_normalization"]

_GROUP_NORM_SINCE = 18
_SCALE_PER_CHANNEL_SINCE = 21


def group_normalizations(graph: onnx.GraphProto) -> int:
    """The number of GroupNormalization nodes in a graph and the subgraphs of its nodes."""
    return sum(_is_group_norm(node) for inner in _graphs(graph) for node in inner.node)


def lower_group_normalization(model: onnx.ModelProto) -> tuple[str, ...]:
    """Replace every GroupNormalization of a model, in place.

    ``(N, C, *)`` becomes ``(N, G, -1)``, is normalized by InstanceNormalization, shaped back, and
    scaled and shifted for each channel (for each group below opset 21, where scale and bias have
    shape ``(G,)``).

    Returns:
        The names (or first outputs) of the nodes that were replaced.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _GROUP_NORM_SINCE:
        return ()
    fresh = _fresh_names(model.graph)
    element_of = _element_types(model)
    lowered: list[str] = []
    for graph in _graphs(model.graph):
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if _is_group_norm(node) and node.input[0] in element_of:
                lowered.append(node.name or node.output[0])
                nodes.extend(_lower(node, element_of[node.input[0]], opset=opset, fresh=fresh))
            else:
                nodes.append(node)
        if len(nodes) != len(graph.node):
            del graph.node[:]
            graph.node.extend(nodes)
    return tuple(lowered)


def _lower(
    node: onnx.NodeProto, element: int, *, opset: int, fresh: Callable[[str], str]
) -> list[onnx.NodeProto]:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    groups, epsilon = attributes["num_groups"], attributes.get("epsilon", 1e-5)
    x, scale, shift = node.input
    prefix = node.name or node.output[0]
    nodes: list[onnx.NodeProto] = []

    def add(op_type: str, *inputs: str, output: str | None = None, **attrs: Any) -> str:
        result = output or fresh(f"{prefix}_{op_type.lower()}")
        name = fresh(f"{prefix}/{op_type}")
        nodes.append(onnx.helper.make_node(op_type, inputs, [result], name=name, **attrs))
        return result

    def constant(value: np.ndarray) -> str:
        return add("Constant", value=numpy_helper.from_array(value))

    def as_float(value: str) -> str:  # stash_type = 1: the statistics are float32's
        if element == onnx.TensorProto.FLOAT:
            return value
        return add("Cast", value, to=onnx.TensorProto.FLOAT)

    shape = add("Shape", x)
    grouped = add("Reshape", as_float(x), constant(np.array([0, groups, -1], np.int64)))
    if opset < _SCALE_PER_CHANNEL_SINCE:
        result = add(
            "InstanceNormalization", grouped, as_float(scale), as_float(shift), epsilon=epsilon
        )
    else:
        one, zero = np.ones(groups, np.float32), np.zeros(groups, np.float32)
        normalized = add(
            "InstanceNormalization", grouped, constant(one), constant(zero), epsilon=epsilon
        )
        ends = constant(np.array([0], np.int64)), constant(np.array([-1], np.int64))
        by_channel = add("Concat", ends[0], add("Shape", scale), ends[1], axis=0)
        column = constant(np.array([1], np.int64))
        channels = add("Reshape", normalized, by_channel)
        scaled = add("Mul", channels, add("Unsqueeze", as_float(scale), column))
        result = add("Add", scaled, add("Unsqueeze", as_float(shift), column))
    if element == onnx.TensorProto.FLOAT:
        add("Reshape", result, shape, output=node.output[0])
    else:
        add("Cast", add("Reshape", result, shape), output=node.output[0], to=element)
    return nodes


def _is_group_norm(node: onnx.NodeProto) -> bool:
    if node.op_type != "GroupNormalization" or node.domain not in ("", "ai.onnx"):
        return False
    return all(a.i == onnx.TensorProto.FLOAT for a in node.attribute if a.name == "stash_type")


def _graphs(graph: onnx.GraphProto) -> Iterable[onnx.GraphProto]:
    """The graph and, depth first, the subgraphs of its nodes (bodies of If, Loop and Scan)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of each value, as far as the file says or inference can tell."""
    types = _declared_types(model.graph)
    inputs = {n.input[0] for g in _graphs(model.graph) for n in g.node if _is_group_norm(n)}
    if inputs <= types.keys():
        return types
    return _declared_types(onnx.shape_inference.infer_shapes(model).graph) | types


def _declared_types(graph: onnx.GraphProto) -> dict[str, int]:
    types: dict[str, int] = {}
    for inner in _graphs(graph):
        for value in (*inner.input, *inner.value_info, *inner.output):
            if value.type.tensor_type.elem_type:
                types[value.name] = value.type.tensor_type.elem_type
        types |= {tensor.name: tensor.data_type for tensor in inner.initializer}
    return types


def _fresh_names(graph: onnx.GraphProto) -> Callable[[str], str]:
    taken: set[str] = set()
    for inner in _graphs(graph):
        for node in inner.node:
            taken.update((node.name, *node.input, *node.output))
        taken.update(v.name for v in (*inner.input, *inner.output, *inner.initializer))

    def fresh(base: str) -> str:
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        return name

    return fresh
