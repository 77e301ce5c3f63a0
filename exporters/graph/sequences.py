"""Write chunks of a dynamic size as slices, and keep the rest from harm.

`x.chunk(2)` along a dynamic axis is exported as SplitToSequence with a computed size, and
onnxscript's constant folder fails on exactly that (0.7.2 looks at the rank of a split that it has
no value for). Item k of such a split is `x[k * size : (k + 1) * size]`, which every execution
provider runs, as it does not run sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir

from exporters.graph.values import (
    add_initializer,
    constant,
    first_input,
    is_op,
    optional_input,
    producer,
    rank,
    remove_unused_initializers,
    scalar,
)


def slice_dynamic_chunks(graph: ir.Graph) -> None:
    """Replace SplitToSequence (one computed size for all items) and SequenceAt by Slice, in place.

    A split of which the items are used in any other way is left as it is.
    """
    for node in list(graph):
        if not _has_computed_size(node):
            continue
        size = node.inputs[1]
        items = [use.node for use in node.outputs[0].uses()]
        positions = [scalar(optional_input(item, 1)) for item in items]
        if (
            size is None
            or rank(size) != 0
            or node.attributes.get_int("keepdims", 1) != 1
            or node.outputs[0].is_graph_output()
            or not all(is_op(item, "SequenceAt") and item.graph is graph for item in items)
        ):
            continue
        known = [int(position) for position in positions if position is not None and position >= 0]
        if len(known) != len(items):
            continue
        for item, position in zip(items, known, strict=True):
            _slice(graph, node, item, position=position)
        inputs = tuple(node.inputs)
        graph.remove(node, safe=True)
        remove_unused_initializers(inputs)


@contextmanager
def hidden_dynamic_chunks(model: ir.Model) -> Iterator[None]:
    """Let no pass see the splits that are left: meanwhile their domain is one that none knows."""
    nodes = [
        node
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if _has_computed_size(node)
    ]
    for node in nodes:
        node.domain = "normserve.hidden"
    try:
        yield
    finally:
        for node in nodes:
            node.domain = ""


def _has_computed_size(node: ir.Node) -> bool:
    """Whether one size that is known only at run time holds for all items, or may."""
    if not is_op(node, "SplitToSequence"):
        return False
    split = optional_input(node, 1)
    if split is None or constant(split) is not None:
        return False
    return rank(split) == 0 or (rank(split) is None and producer(split, "Concat") is None)


def _slice(graph: ir.Graph, split: ir.Node, item: ir.Node, *, position: int) -> None:
    name = item.outputs[0].name or "chunk"
    axis = split.attributes.get_int("axis", 0)
    one = add_initializer(graph, np.array([1], np.int64), name=f"{name}.one")
    begin = add_initializer(graph, np.array([position], np.int64), name=f"{name}.begin")
    end = add_initializer(graph, np.array([position + 1], np.int64), name=f"{name}.end")
    axes = add_initializer(graph, np.array([axis], np.int64), name=f"{name}.axis")
    size = ir.node("Reshape", [split.inputs[1], one], name=f"{item.name}.size")
    start = ir.node("Mul", [size.outputs[0], begin], name=f"{item.name}.start")
    stop = ir.node("Mul", [size.outputs[0], end], name=f"{item.name}.stop")
    piece = ir.node(
        "Slice",
        [first_input(split), start.outputs[0], stop.outputs[0], axes],
        name=item.name,
        metadata_props=dict(item.metadata_props),
    )
    for part, suffix in ((size, "size"), (start, "start"), (stop, "stop")):
        part.outputs[0].name = f"{name}.{suffix}"
    graph.insert_before(item, [size, start, stop, piece])
    old, new = item.outputs[0], piece.outputs[0]
    new.shape, new.type = old.shape, old.type
    inputs = tuple(item.inputs)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(item, safe=True)
    old.name = None
    new.name = name
    remove_unused_initializers(inputs)
