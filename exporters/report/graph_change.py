"""Count what the optimization did to a graph. Not for: doing it (`exporters.graph`)."""

import math
from collections import Counter
from collections.abc import Iterator

import onnx
import torch
from torch import nn

from exporters.convert import Converted
from exporters.graph import Rewrite, Rule
from exporters.report.document import GraphChange, OperatorCount, RewriteCount

__all__ = ["graph_change"]

_FLOATS = frozenset({
    onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
})  # fmt: skip


def graph_change(model: nn.Module, converted: Converted, file: onnx.ModelProto) -> GraphChange:
    """The graph before and after.

    Args:
        model: the user's, for its parameters.
        converted: the traced graph's nodes, and what became of them.
        file: the model file, with its weights inside.
    """
    before = Counter(origin.op for origin in converted.origins.values())
    nodes = list(_nodes(file.graph))
    after = Counter(node.op_type for node in nodes)
    operators = sorted(before | after, key=lambda op: (-after[op], -before[op], op))
    return GraphChange(
        operators=tuple(
            OperatorCount(operator=op, before=before[op], after=after[op]) for op in operators
        ),
        rewrites=tuple(_rewrites(converted)),
        parameters_before=_numbers_of(model),
        parameters_after=sum(
            math.prod(tensor.dims)
            for graph in _graphs(file.graph)
            for tensor in (*graph.initializer, *_constants(graph))
            if tensor.data_type in _FLOATS
        ),
        model_bytes=file.ByteSize(),
    )


def _rewrites(converted: Converted) -> Iterator[RewriteCount]:
    groups: dict[tuple[Rule, str], list[Rewrite]] = {}
    for rewrite in converted.rewrites:
        origin = converted.origins.get(rewrite.node)
        groups.setdefault((rewrite.rule, "" if origin is None else origin.op), []).append(rewrite)
    for (rule, operator), rewrites in groups.items():
        first = rewrites[0]
        yield RewriteCount(
            rule=rule,
            operator=operator,
            count=len(rewrites),
            node=first.node,
            into=first.into,
        )


def _numbers_of(model: nn.Module) -> int:
    tensors: Iterator[torch.Tensor] = iter((*model.parameters(), *model.buffers()))
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graphs(inner)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return (node for inner in _graphs(graph) for node in inner.node)


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    return (
        attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.HasField("t")
    )
