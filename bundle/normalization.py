"""A normalization node, and the nodes that are to replace it. Not for: which nodes those are."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["FLOAT", "Nodes", "Normalization", "TensorType"]

FLOAT = onnx.TensorProto.FLOAT
_SCALE_PER_CHANNEL_SINCE = 21


@dataclass(frozen=True, slots=True)
class TensorType:
    """What is known of a value: its element type, and its shape (None: an unknown size or rank)."""

    element: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Normalization:
    """A GroupNormalization or InstanceNormalization node.

    Attributes:
        node: with the inputs x (N, C, *), scale and shift.
        given: the type of x.
        groups: None for InstanceNormalization: each channel is one.
        opset: of the model.
    """

    node: onnx.NodeProto
    given: TensorType
    groups: int | None
    opset: int

    @property
    def scales_channels(self) -> bool:
        """Whether scale and shift have an element for each channel of a group."""
        return self.groups is not None and self.opset >= _SCALE_PER_CHANNEL_SINCE

    @property
    def channels(self) -> int | None:
        """C, if it is known."""
        shape = self.given.shape
        return None if shape is None or len(shape) < 2 else shape[1]

    @property
    def positions(self) -> int | None:
        """How many elements a channel has, if it is known."""
        shape = self.given.shape
        if shape is None or len(shape) < 3 or None in shape[1:]:
            return None
        return math.prod(size for size in shape[2:] if size)

    @property
    def elements(self) -> int | None:
        """How many elements share a mean, if it is known."""
        if self.positions is None or self.channels is None:
            return None
        return self.channels * self.positions // (self.groups or self.channels)

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        return next((a.f for a in self.node.attribute if a.name == "epsilon"), 1e-5)


class Nodes:
    """Nodes as they are made, one after the other, in place of a normalization.

    Args:
        norm: what they replace.
        fresh: gives names that nothing else has.
    """

    def __init__(self, norm: Normalization, fresh: Callable[[str], str]) -> None:
        self.made: list[onnx.NodeProto] = []
        self._element = norm.given.element
        self._output = norm.node.output[0]
        self._prefix = norm.node.name or self._output
        self._fresh = fresh

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A node's output."""
        (output,) = self.add_several(op_type, 1, *inputs, **attributes)
        return output

    def add_several(
        self, op_type: str, outputs: int, *inputs: str, **attributes: Any
    ) -> tuple[str, ...]:
        """The outputs of a node that has several."""
        base = f"{self._prefix}_{op_type.lower()}"
        names = tuple(self._fresh(base) for _ in range(outputs))
        name = self._fresh(f"{self._prefix}/{op_type}")
        self.made.append(onnx.helper.make_node(op_type, inputs, names, name=name, **attributes))
        return names

    def constant(self, *values: int) -> str:
        """Integers, such as axes and shapes."""
        return self.array(np.array(values, np.int64))

    def array(self, values: np.ndarray) -> str:
        """Constants of any type."""
        return self.add("Constant", value=numpy_helper.from_array(values))

    def as_float(self, value: str) -> str:
        """In float32, which the statistics are computed in (stash_type = 1)."""
        return value if self._element == FLOAT else self.add("Cast", value, to=FLOAT)

    def end(self) -> None:
        """Give the last node the name of the output, which others go on to read."""
        if self._element != FLOAT:
            self.add("Cast", self.made[-1].output[0], to=self._element)
        self.made[-1].output[0] = self._output
