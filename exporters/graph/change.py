"""New constants for a node: planned first, all checked, then made together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from exporters.graph.values import (
    Array,
    add_initializer,
    constant64,
    has_single_use,
    is_op,
    rank,
    remove_unused_initializers,
    rounded,
    unused_node_name,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one node.

    Attributes:
        node: The node.
        constants: New numbers for its inputs, by index, already in the dtype they are stored in.
            They get an initializer of their own, so that no other reader of the old one sees them.
        added: Numbers for a new Add behind the node, or None for no such node.
    """

    node: ir.Node
    constants: Mapping[int, Array] = field(default_factory=dict)
    added: Array | None = None

    def apply(self) -> None:
        """Make the change; what read the node's output reads that of the new Add, if there is one.

        Raises:
            ValueError: The node is no longer in a graph.
        """
        graph = self.node.graph
        if graph is None:
            msg = f"node {self.node.name!r} is in no graph"
            raise ValueError(msg)
        for index, array in self.constants.items():
            if index >= len(self.node.inputs):
                self.node.resize_inputs(index + 1)
            old = self.node.inputs[index]
            self.node.replace_input_with(index, None)
            remove_unused_initializers([old])
            name = f"{self.node.name}.bias" if old is None or old.name is None else old.name
            self.node.replace_input_with(index, add_initializer(graph, array, name=name))
        if self.added is not None:
            self._append(graph, self.added)

    def _append(self, graph: ir.Graph, numbers: Array) -> None:
        output = self.node.outputs[0]
        bias = add_initializer(graph, numbers, name=f"{self.node.name}.bias")
        add = ir.node(
            "Add",
            [output, bias],
            name=unused_node_name(graph, self.node, "Add"),
            metadata_props=dict(self.node.metadata_props),
        )
        moved = add.outputs[0]
        moved.type, moved.shape = output.type, output.shape
        graph.insert_after(self.node, add)
        for use in tuple(output.uses()):
            if use.node is not add:
                use.node.replace_input_with(use.idx, moved)
        moved.name = f"{output.name}.biased"
        if output.is_graph_output():
            for position, value in enumerate(graph.outputs):
                if value is output:
                    graph.outputs[position] = moved
            output.name, moved.name = f"{output.name}.unbiased", output.name


def planned(node: ir.Node, wanted: Mapping[int, Array | None]) -> Change | None:
    """A change of a node's constants to float64 numbers, each rounded to the dtype of its input.

    Args:
        node: The node; an input that it leaves out takes the dtype of input 1, the weight.
        wanted: Numbers by input index; None leaves that input as it is.

    Returns:
        None where the dtype cannot hold the numbers.
    """
    constants = {}
    for index, array in wanted.items():
        if array is None:
            continue
        old = node.inputs[index] if index < len(node.inputs) else None
        like = old if old is not None else node.inputs[1]
        narrow = None if like is None else rounded(array, like)
        if narrow is None:
            return None
        constants[index] = narrow
    return Change(node, constants)


def shifted(node: ir.Node, *, axis: int, shift: Array) -> Change | None:
    """The change that adds a number per channel behind a node.

    Uses the Add of a constant that reads the node, where there is one, else a new Add.
    """
    output = node.outputs[0]
    count = rank(output)
    if count is None:
        return None
    added = per_channel(shift, axis=axis, rank=count)
    readers = [use.node for use in output.uses()]
    if has_single_use(output) and is_op(readers[0], "Add"):
        for index, value in enumerate(readers[0].inputs):
            bias = constant64(value)
            if bias is not None and value is not output:
                return planned(readers[0], {index: bias + added})
    narrow = rounded(added, output)
    return None if narrow is None else Change(node, added=narrow)


def per_channel(numbers: Array, *, axis: int, rank: int) -> Array:
    """Numbers per channel in the shape that broadcasts along the axis of a value of that rank."""
    return np.reshape(numbers, (-1, *[1] * (rank - axis - 1)))
