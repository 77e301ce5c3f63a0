"""Looking around in a graph: what gives a value, and what lies between it and others.

Knows the main graph only; a node with subgraphs is one node that reads what they capture.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
from onnx import numpy_helper

from bundle.certificate import Operator
from bundle.precision.nodes import captured, constants, element_types
from bundle.tensors import Datatype

__all__ = ["Graph", "Region"]

_FLOATS = frozenset(kind.onnx for kind in Datatype if kind.is_float)
_UNKNOWN = 0


@dataclass(frozen=True, slots=True)
class Region:
    """The nodes between some values and one behind them.

    Attributes:
        nodes: in the order of the graph.
        inputs: the values where it begins: agreed ones, and inputs of the graph.
        output: the value where it ends.
    """

    nodes: tuple[onnx.NodeProto, ...]
    inputs: tuple[str, ...]
    output: str


class Graph:
    """A model's main graph, by the names of its values.

    Attributes:
        model: with its weights inside.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._places = {
            name: place for place, node in enumerate(model.graph.node) for name in node.output
        }

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """The weights and the tensors of Constant nodes."""
        return constants(self.model.graph)

    @cached_property
    def types(self) -> dict[str, int]:
        """The element type of each value, as far as it is known."""
        return element_types(self.model)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return max(o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx"))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """What is fed."""
        return tuple(v.name for v in self.model.graph.input if v.name not in self.constants)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """What is answered."""
        return tuple(value.name for value in self.model.graph.output)

    @cached_property
    def floats(self) -> tuple[str, ...]:
        """The values that nodes compute and that are floats or of unknown type, in order."""
        return tuple(
            name
            for node in self.model.graph.node
            if node.op_type != "Constant"
            for name in node.output
            if name and self.types.get(name, _UNKNOWN) in {*_FLOATS, _UNKNOWN}
        )

    def producer(self, value: str) -> onnx.NodeProto | None:
        """The node that gives a value; None for inputs and weights."""
        place = self._places.get(value)
        return None if place is None else self.model.graph.node[place]

    def operator(self, value: str) -> Operator | None:
        """The same, for a reader."""
        node = self.producer(value)
        return None if node is None else Operator.of(node)

    def array(self, name: str) -> np.ndarray | None:
        """A weight or a constant."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def region(self, value: str, agreed: Collection[str]) -> Region:
        """What computes a value from those that are agreed on, or from the graph's inputs."""
        places: set[int] = set()
        inputs: dict[str, None] = {}
        waiting = [value]
        while waiting:
            name = waiting.pop()
            if name != value and name in agreed:
                inputs[name] = None
            elif name in self._places:
                place = self._places[name]
                if place not in places:
                    places.add(place)
                    node = self.model.graph.node[place]
                    waiting.extend(reversed([*filter(None, node.input), *captured(node)]))
            elif name in self.inputs:
                inputs[name] = None
        nodes = tuple(self.model.graph.node[place] for place in sorted(places))
        return Region(nodes, tuple(inputs), value)
