"""One node with what is known of its tensors: what a rule sees. Knows no operator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from bundle.checks.reach.bits import (
    MARKS,
    NOTHING,
    ROWS,
    SIZE,
    STEP,
    Bits,
    Reach,
    anything,
    merge,
)

__all__ = ["Rule", "Step", "Unreasoned"]


class Unreasoned(Exception):  # says what is the case, as the project's errors do
    """Nothing can be said of this node: trials decide."""


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the graph.

    Attributes:
        node: as the file has it.
        opset: of ONNX's own operators.
        inputs: what is known of each input; None for one that is left out.
        values: the value of each input, where it is an integer, a boolean or a small constant.
        smaller: the same with the smaller batch.
        shapes: of each output; None where it is no tensor.
        sized: the axes of each output that are longer in a larger batch.
        rows: in the batch that is followed.
    """

    node: onnx.NodeProto
    opset: int
    inputs: tuple[Reach | None, ...]
    values: tuple[np.ndarray | None, ...]
    smaller: tuple[np.ndarray | None, ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    sized: tuple[frozenset[int], ...]
    rows: int

    def has(self, position: int) -> bool:
        """Whether an input is given."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def reach(self, position: int) -> Reach:
        """An input that the operator cannot be without."""
        reach = self.inputs[position] if position < len(self.inputs) else None
        if reach is None or reach.shape is None:
            raise Unreasoned(f"input {position} is no tensor")
        return reach

    def bits(self, position: int) -> Bits:
        """The bits of an input."""
        return self.reach(position).bits

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of an input."""
        shape = self.reach(position).shape
        assert shape is not None  # noqa: S101  # `reach` refuses it
        return shape

    def rank(self, position: int) -> int:
        """The rank of an input."""
        return len(self.shape(position))

    def all_of(self, *positions: int) -> np.uint32:
        """What went into any element of some inputs; nothing for those that are left out."""
        result = NOTHING
        for position in positions:
            if self.has(position):
                result |= anything(self.reach(position).bits)
        return result

    def everything(self) -> np.uint32:
        """What went into any element of any input."""
        result = NOTHING
        for reach in self.inputs:
            result |= NOTHING if reach is None else anything(reach.bits)
        return result

    def value(self, position: int) -> np.ndarray:
        """The value of an input.

        Raises:
            Unreasoned: it is not known.
        """
        value = self.values[position] if position < len(self.values) else None
        if value is None:
            raise Unreasoned(f"the value of input {position} is not known")
        return value

    def out(self, position: int = 0) -> tuple[int, ...]:
        """The shape of an output.

        Raises:
            Unreasoned: it is not known.
        """
        shape = self.shapes[position]
        if shape is None:
            raise Unreasoned(f"output {position} is no tensor")
        return shape

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def axis(self, default: int | None = None, *, rank: int | None = None) -> int:
        """The attribute ``axis``, counted from the front."""
        rank = self.rank(0) if rank is None else rank
        axis = self.attribute("axis", default)
        if axis is None:
            raise Unreasoned("it has no axis")
        return int(axis) % rank if rank else 0

    def merged(self, position: int, axes: Sequence[int]) -> Bits:
        """An input's bits where every element along some axes goes into each result.

        A sum over the batch also depends on how many rows there are.
        """
        reach = self.reach(position)
        bits = merge(reach.bits, axes)
        return bits | SIZE if reach.sized.intersection(axes) else bits

    def controlled(self, position: int) -> np.uint32:
        """What an input that only says how long or where something is brings into the result.

        Sizes may go into shapes; jumps in them make the result depend on the size.
        """
        bits = self.all_of(position)
        return (bits & ROWS) | (SIZE if bits & STEP else NOTHING)

    def marks(self, position: int) -> np.uint32:
        """The marks of an input's elements."""
        return self.all_of(position) & MARKS


Rule = Callable[[Step], Sequence[Bits]]
"""The bits of each output."""
