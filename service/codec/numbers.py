"""JSON that carries many numbers, read without a Python object for each. A short cut.

It takes only what is plainly right, and gives exactly what `service.codec.text.parse_object` and
`service.codec.json_tensors` would. For everything else it raises `Unusual`, and those find out what
is wrong, or that nothing is.
"""

import codecs
import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import simdjson

from bundle.tensors import Datatype

__all__ = ["WORTHWHILE_BYTES", "Numbers", "Unusual", "parse_numbers"]

WORTHWHILE_BYTES: Final = 4096
"""Below that, the usual way is as quick."""

_MOST_ARRAYS: Final = 4096
"""On a level of nesting. Many short arrays are no quicker than the usual way."""


_MOST_NAMES: Final = 64
"""Of an object: the parser looks for each of them from the first on."""

_Kind = Literal["d", "i", "u"]
_WIDE: Final[Mapping[str, tuple[_Kind, np.dtype[Any]]]] = {
    "f": ("d", np.dtype(np.float64)),
    "i": ("i", np.dtype(np.int64)),
    "u": ("u", np.dtype(np.uint64)),
}
"""How the parser gives numbers, by the kind of the wanted dtype."""


class Unusual(Exception):
    """The short cut does not lead there."""


class Numbers:
    """An array of numbers, flat or nested, that has not been looked at but for its shape.

    Attributes:
        shape: how it is nested.
    """

    def __init__(self, array: simdjson.Array, shape: tuple[int, ...]) -> None:
        self._array = array
        self.shape = shape

    def read(self, datatype: Datatype) -> np.ndarray:
        """The numbers, flat: float64 for floats, 64-bit integers for integers.

        Raises:
            Unusual: one is of another kind, or too large.
        """
        wide = _WIDE.get(datatype.numpy.kind)
        if wide is None:  # half precision never comes here: JSON cannot carry it
            raise Unusual
        kind, dtype = wide
        try:
            values = np.frombuffer(self._array.as_buffer(of_type=kind), dtype)
        except (TypeError, ValueError) as err:
            raise Unusual from err
        if values.size != math.prod(self.shape):
            raise Unusual
        return values


def parse_numbers(text: bytes | memoryview) -> dict[str, Any]:
    """Parse a request whose inputs' ``data`` are numbers; each is a `Numbers`.

    Raises:
        Unusual: it is no such request, or not plainly right.
    """
    content = bytes(text)
    if content.startswith(codecs.BOM_UTF8):  # the parser reads over it
        raise Unusual
    try:
        root = simdjson.Parser().parse(content)
        reading = _Reading()
        fields = reading.request(root)
    except (TypeError, ValueError, RuntimeError) as err:  # the last: nested too deeply
        raise Unusual from err
    # An array within the numbers would not be noticed otherwise. Brackets within strings are
    # counted too: such a text goes the usual way.
    if content.count(b"[") != reading.arrays:
        raise Unusual
    return fields


class _Reading:
    """From the parser's objects to plain ones, all but the numbers; counts arrays on the way."""

    def __init__(self) -> None:
        self.arrays = 0

    def request(self, root: Any) -> dict[str, Any]:
        if not isinstance(root, simdjson.Object):
            raise Unusual
        fields = self._object(root, skip="inputs")
        if "inputs" in fields:
            self.arrays += 1
            fields["inputs"] = [self._input(tensor) for tensor in _array(fields["inputs"])]
        return fields

    def _input(self, tensor: Any) -> dict[str, Any]:
        if not isinstance(tensor, simdjson.Object):
            raise Unusual
        fields = self._object(tensor, skip="data")
        if "data" in fields:
            data = _array(fields["data"])
            shape = self._nesting(data)
            fields["data"] = Numbers(data, shape)
        return fields

    def _nesting(self, array: simdjson.Array) -> tuple[int, ...]:
        """The shape of nested arrays, as far as their lengths say it."""
        level = [array]
        shape: tuple[int, ...] = ()
        while True:
            length = len(level[0])
            if any(len(each) != length for each in level):
                raise Unusual
            shape = (*shape, length)
            self.arrays += len(level)
            if not length or not isinstance(level[0][0], simdjson.Array):
                return shape
            if length * len(level) > _MOST_ARRAYS:
                raise Unusual
            level = [_array(inner) for each in level for inner in each]

    def _plain(self, value: Any) -> Any:
        if isinstance(value, simdjson.Object):
            return self._object(value)
        if isinstance(value, simdjson.Array):
            self.arrays += 1
            return [self._plain(element) for element in value]
        return value

    def _object(self, value: simdjson.Object, *, skip: str | None = None) -> dict[str, Any]:
        names = list(value.keys())
        if len(names) > _MOST_NAMES or len(set(names)) != len(names):
            raise Unusual
        return {name: value[name] if name == skip else self._plain(value[name]) for name in names}


def _array(value: Any) -> simdjson.Array:
    if not isinstance(value, simdjson.Array):
        raise Unusual
    return value
