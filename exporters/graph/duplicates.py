"""Merge nodes that compute the same from the same inputs. Moves no node.

onnx-ir has such a pass; this one exists because a normalization that is merged into another must be
recorded (two LayerNorms without parameters on the same tensor are two layers of the model and one
node of the graph).
"""

from __future__ import annotations

from collections.abc import Hashable

import onnx_ir as ir

from exporters.graph.journal import Rewrite
from exporters.graph.values import remove_unused_initializers

_RANDOM = frozenset(
    {
        "RandomUniform",
        "RandomNormal",
        "RandomUniformLike",
        "RandomNormalLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
    }
)


SMALL = 1024
"""Elements up to which an integer constant is compared."""


def merge_constants(graph: ir.Graph) -> None:
    """Let equal shapes, axes and other integers be one initializer each.

    Weights keep an initializer of their own even where they happen to be equal, as zeros and ones
    of new normalizations are: their names say which layer they belong to.
    """
    first: dict[Hashable, ir.Value] = {}
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or value.is_graph_input() or value.is_graph_output():
            continue
        if tensor.size > SMALL or not (tensor.dtype.is_integer() or tensor.dtype == _BOOL):
            continue
        key = (tensor.dtype, tuple(tensor.shape), tensor.tobytes())
        original = first.setdefault(key, value)
        if original is not value:
            value.replace_all_uses_with(original)
            remove_unused_initializers([value])


_BOOL = ir.DataType.BOOL


def merge_duplicates(graph: ir.Graph) -> list[Rewrite]:
    """Let every group of equal nodes be computed once.

    Args:
        graph: Changed in place; its subgraphs are left alone. A node whose output is an output of
            the graph stays, because outputs keep their own values and names.

    Returns:
        One record for every node that was removed.
    """
    first: dict[Hashable, ir.Node] = {}
    rewrites = []
    for node in list(graph):
        key = _identity(node)
        if key is None or any(output.is_graph_output() for output in node.outputs):
            continue
        original = first.setdefault(key, node)
        if original is node:
            continue
        inputs = tuple(node.inputs)
        for output, same in zip(node.outputs, original.outputs, strict=True):
            output.replace_all_uses_with(same)
            if same.shape is None:
                same.shape = output.shape
        rewrites.append(
            Rewrite(
                rule="duplicate",
                node=node.name or "",
                value=node.outputs[0].name or "",
                into=(original.name or "",),
            )
        )
        graph.remove(node, safe=True)
        remove_unused_initializers(inputs)
    return rewrites


def _identity(node: ir.Node) -> Hashable | None:
    """What makes two nodes equal; None for a node that is not to be merged with any other."""
    if node.op_type in _RANDOM or not node.inputs:
        return None
    attributes: list[Hashable] = []
    for name, attribute in sorted(node.attributes.items()):
        if attribute.is_ref() or attribute.type in (
            ir.AttributeType.GRAPH,
            ir.AttributeType.GRAPHS,
            ir.AttributeType.TENSORS,
            ir.AttributeType.TYPE_PROTO,
            ir.AttributeType.TYPE_PROTOS,
            ir.AttributeType.SPARSE_TENSOR,
            ir.AttributeType.SPARSE_TENSORS,
        ):
            return None
        value = attribute.value
        if attribute.type == ir.AttributeType.TENSOR:
            value = (value.dtype, tuple(value.shape), value.tobytes())
        elif isinstance(value, (list, tuple)):
            value = tuple(value)
        attributes.append((name, value))
    inputs = tuple(id(value) for value in node.inputs)
    return (node.op_identifier(), len(node.outputs), inputs, tuple(attributes))
