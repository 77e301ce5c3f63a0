"""What a model takes and gives, and whether a request fits it. Knows no wire format, reads no data.

Everything here is decided by names, datatypes and shapes alone, before any element is looked at
and before anything is allocated.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bundle.manifest import DimensionRange
from bundle.tensors import Datatype, TensorSpec
from service.errors import InputMismatch, OutputUnknown, TensorInvalid, excerpt

__all__ = ["Signature"]

_MOST_BYTES_ELEMENTS = 2**20
"""Of an input. Each is an object of Python, even where it is empty."""

_LARGEST_EMPTY_SHAPE = 2**24
"""Elements that an empty tensor would have if its zeros were ones. A shape such as (0, 2**40) costs
a client nothing to send, and a sum over its first axis would be terabytes."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of one model version.

    Attributes:
        inputs: in the model's order.
        outputs: in the model's order.
        dimensions: for which sizes of its named dynamic dimensions the model was made; those that
            are not here may have any.
        max_rows: that a request may have, where its first dimension is a batch.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dimensions: Mapping[str, DimensionRange] = field(default_factory=dict)
    max_rows: int | None = None
    _inputs: dict[str, TensorSpec] = field(init=False, repr=False, compare=False)
    _outputs: dict[str, TensorSpec] = field(init=False, repr=False, compare=False)
    _has_rows: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        has_rows = all(spec.shape and isinstance(spec.shape[0], str) for spec in self.inputs)
        object.__setattr__(self, "_has_rows", bool(self.inputs) and has_rows)
        object.__setattr__(self, "_inputs", {spec.name: spec for spec in self.inputs})
        object.__setattr__(self, "_outputs", {spec.name: spec for spec in self.outputs})

    def input(self, name: str) -> TensorSpec:
        """The input of that name.

        Raises:
            InputMismatch: there is none.
        """
        try:
            return self._inputs[name]
        except KeyError:
            raise InputMismatch(
                f"input {excerpt(name)} is not one of the model's; it has {_names(self.inputs)}"
            ) from None

    def output(self, name: str) -> TensorSpec:
        """The output of that name.

        Raises:
            OutputUnknown: there is none.
        """
        try:
            return self._outputs[name]
        except KeyError:
            raise OutputUnknown(
                f"output {excerpt(name)} is not one of the model's; it has {_names(self.outputs)}"
            ) from None

    def check_input(self, name: str, datatype: Datatype, shape: Sequence[int]) -> None:
        """Whether a tensor may be given as that input.

        Raises:
            InputMismatch: no such input, or it has another datatype, rank or fixed dimension, or a
                dynamic dimension that the model was not made for.
            TensorInvalid: no machine could hold a tensor of that shape, or it has so many BYTES
                that nobody else would be answered while they are looked at.
        """
        spec = self.input(name)
        if datatype is not spec.datatype:
            raise InputMismatch(
                f"input {excerpt(name)} has datatype {datatype}; the model wants {spec.datatype}"
            )
        fits = len(shape) == len(spec.shape) and all(
            isinstance(wanted, str) or got == wanted
            for got, wanted in zip(shape, spec.shape, strict=True)
        )
        if not fits:
            raise InputMismatch(
                f"input {excerpt(name)} has shape {_written(shape)};"
                f" the model wants {_written(spec.shape)}"
            )
        if self.dimensions:
            for size, wanted in zip(shape, spec.shape, strict=True):
                self._check_range(name, size, wanted)
        if self.max_rows is not None and shape and shape[0] > self.max_rows:
            raise InputMismatch(
                f"input {excerpt(name)} has {shape[0]} rows;"
                f" the model takes batches of {self.max_rows} at most"
            )
        if datatype is Datatype.BYTES and math.prod(shape) > _MOST_BYTES_ELEMENTS:
            raise TensorInvalid(
                f"input {excerpt(name)} has {math.prod(shape)} elements; of {datatype} a request"
                f" may have {_MOST_BYTES_ELEMENTS} in an input"
            )
        if 0 in shape and math.prod(size or 1 for size in shape) > _LARGEST_EMPTY_SHAPE:
            raise TensorInvalid(
                f"input {excerpt(name)} is empty but its shape is {_written(shape)}; the other"
                f" dimensions of an empty tensor may multiply to {_LARGEST_EMPTY_SHAPE} at most"
            )

    def _check_range(self, name: str, size: int, dimension: int | str) -> None:
        limits = self.dimensions.get(dimension) if isinstance(dimension, str) else None
        if limits is None:
            return
        # a minimum of 1 says nothing of empty tensors: those have no values that could be wrong
        too_small = size < limits.minimum and limits.minimum > 1
        too_large = limits.maximum is not None and size > limits.maximum
        if too_small or too_large:
            above = "" if limits.maximum is None else f" to {limits.maximum}"
            raise InputMismatch(
                f"dimension {dimension!r} of input {excerpt(name)} is {size};"
                f" the model was exported for {limits.minimum}{above}"
            )

    def check_complete(self, given: Iterable[str]) -> None:
        """Whether every input was given.

        Raises:
            InputMismatch: one is missing.
        """
        names = set(given)
        missing = [spec for spec in self.inputs if spec.name not in names]
        if missing:
            got = ", ".join(sorted(map(excerpt, names))) or "none"
            raise InputMismatch(f"the model also wants {_names(missing)}; the request has {got}")

    def rows(self, given: Mapping[str, np.ndarray]) -> int:
        """How many rows a request has: the length of axis 0, where every input's is dynamic.

        Args:
            given: the inputs of the request.

        Returns:
            1 where the model has inputs without such an axis, or they differ in its length.
        """
        if not self._has_rows:
            return 1
        lengths = {len(array) for array in given.values()}
        return lengths.pop() if len(lengths) == 1 else 1

    def select(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The outputs wanted, in the model's order, each once; all of them when none is named.

        Raises:
            OutputUnknown: the model has no such output.
        """
        names = {self.output(name).name for name in wanted}
        if not names:
            return tuple(self._outputs)
        return tuple(name for name in self._outputs if name in names)


def _names(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(repr(spec.name) for spec in specs) or "none"


def _written(shape: Sequence[int | str]) -> str:
    return excerpt(tuple(shape)) if len(shape) > 16 else f"({', '.join(map(str, shape))})"
