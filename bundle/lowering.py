"""Rewrite normalizations that a provider computes badly into a form that is accurate there.

ONNX Runtime on a CPU expands GroupNormalization into its function body, whose variance is
E[x²] - E[x]²: measured error 6e-3 at mean/sd = 100, 0.8 at 1000, NaN for constant inputs above 10.
Its InstanceNormalization adds up all the elements of a channel one after the other: with a million
of them a quarter of a thousandth is lost (``docs/decisions/0010-sums-of-sums.md``).

A model file keeps the standard operators; whoever opens a session lowers them in memory. Not for:
which provider needs it (`bundle.opener`), how the accurate forms look (`bundle.group_forms`).
"""

from collections.abc import Callable, Collection, Iterable

import onnx

from bundle.group_forms import accurate_form
from bundle.normalization import Normalization, TensorType

__all__ = ["GROUP_NORM", "INSTANCE_NORM", "has_node", "lower_normalizations"]

GROUP_NORM, INSTANCE_NORM = "GroupNormalization", "InstanceNormalization"

_SHAPE_BYTES = 1024
"""A tensor that is larger is a weight: no shape depends on its values."""

_SINCE = 18
"""The opset that brought GroupNormalization, and ReduceMean the form that is used here."""


def has_node(model: onnx.ModelProto, op_types: Collection[str]) -> bool:
    """Whether a model's graph, or a subgraph of its nodes, has a node of some operators."""
    return any(_is_of(node, op_types) for graph in _graphs(model.graph) for node in graph.node)


def lower_normalizations(
    model: onnx.ModelProto, op_types: Collection[str] = (GROUP_NORM,)
) -> tuple[str, ...]:
    """Replace every GroupNormalization, and InstanceNormalization over many elements, in place.

    Args:
        model: of opset 18 or later; others are left as they are.
        op_types: which of the two. InstanceNormalization is inaccurate in ONNX Runtime's CPU
            provider only: with it the nodes are those that are fastest there; without it, those
            that any runtime may be given.

    Returns:
        The names (or first outputs) of the nodes that were replaced.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _SINCE or not has_node(model, op_types):
        return ()
    fresh = _fresh_names(model.graph)
    types = _tensor_types(model, op_types)
    lowered: list[str] = []
    for graph in _graphs(model.graph):
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            form = None
            if _is_of(node, op_types):
                norm = _normalization(node, types, opset)
                is_portable = INSTANCE_NORM not in op_types
                form = norm and accurate_form(norm, fresh, is_portable=is_portable)
            if form is not None:
                lowered.append(node.name or node.output[0])
            nodes.extend(form or [node])
        if len(nodes) != len(graph.node):
            del graph.node[:]
            graph.node.extend(nodes)
    return tuple(lowered)


def _normalization(
    node: onnx.NodeProto, types: dict[str, TensorType], opset: int
) -> Normalization | None:
    given = types.get(node.input[0])
    if given is None:
        return None
    groups = next((a.i for a in node.attribute if a.name == "num_groups"), None)
    return Normalization(node, given, groups=groups, opset=opset)


def _is_of(node: onnx.NodeProto, op_types: Collection[str]) -> bool:
    if node.op_type not in op_types or node.domain not in ("", "ai.onnx"):
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


def _tensor_types(model: onnx.ModelProto, op_types: Collection[str]) -> dict[str, TensorType]:
    """The type of each value, as far as the file says or inference can tell."""
    types = _declared_types(model.graph)
    inputs = {n.input[0] for g in _graphs(model.graph) for n in g.node if _is_of(n, op_types)}
    if all(name in types and types[name].shape is not None for name in inputs):
        return types
    return types | _declared_types(onnx.shape_inference.infer_shapes(_sketch(model)).graph)


def _sketch(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model of the same shapes that inference gets through: it stops at GroupNormalization."""
    sketch = onnx.ModelProto(ir_version=model.ir_version)
    sketch.opset_import.extend(model.opset_import)
    sketch.functions.extend(model.functions)
    graph = sketch.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= _SHAPE_BYTES:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    for inner in _graphs(graph):
        for node in inner.node:
            if _is_of(node, (GROUP_NORM, INSTANCE_NORM)):
                node.op_type = "Identity"
                del node.input[1:]
                del node.attribute[:]
    return sketch


def _declared_types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    types: dict[str, TensorType] = {}
    for inner in _graphs(graph):
        declared: list[onnx.ValueInfoProto] = [*inner.input, *inner.value_info, *inner.output]
        for value in declared:
            tensor = value.type.tensor_type
            if tensor.elem_type:
                sizes = tuple(d.dim_value or None for d in tensor.shape.dim)
                shape = sizes if tensor.HasField("shape") else None
                types[value.name] = TensorType(tensor.elem_type, shape)
        for constant in inner.initializer:
            types[constant.name] = TensorType(constant.data_type, tuple(constant.dims))
    return types


def _fresh_names(graph: onnx.GraphProto) -> Callable[[str], str]:
    taken: set[str] = set()
    for inner in _graphs(graph):
        for node in inner.node:
            taken.update((node.name, *node.input, *node.output))
        taken.update(value.name for value in (*inner.input, *inner.output))
        taken.update(tensor.name for tensor in inner.initializer)

    def fresh(base: str) -> str:
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        return name

    return fresh
