"""What requests say beside the values of their tensors, and those that have said it before.

Most clients ask the same question again and again, with other numbers in it. What was read and
checked once need not be read again: the same text has the same meaning.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bundle.tensors import Datatype
from service.codec.binary_tensors import array_from_bytes
from service.codec.json_tensors import array_from_json
from service.errors import BodyCorrupt, excerpt
from service.inference import InferenceRequest, Parameter, Placement, SharedInput

__all__ = [
    "DecodedRequest",
    "Key",
    "Outline",
    "Outlines",
    "Slot",
    "cut_out",
    "put_back",
    "read_numbers",
]

_MOST_BYTES: Final = 4096
"""Of a text that is looked at."""

_MOST_KEPT_BYTES: Final = 1024
"""Of it, without the numbers, to be remembered."""

_MOST: Final = 64
# white space is JSON's, which is less than what a regular expression takes for it
_NUMBERS: Final = re.compile(rb'"data":[ \t\r\n]*\[([-+.0-9eE, \t\r\n]*)\]')
_DATA: Final = b'"data":[%d]'
_ID: Final = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"id":[ \t\r\n]*"([A-Za-z0-9._:/+=-]{1,128})"(?=[ \t\r\n]*,)'
)
"""At the beginning, where clients have it."""


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A request, and which of its outputs travel back as binary tensor data."""

    request: InferenceRequest
    binary_outputs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Slot:
    """An input whose values come with the request.

    Attributes:
        name: of the input.
        datatype: of the input.
        shape: of the input.
        size: bytes that it has behind the JSON; ``None`` where its values are in it.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A request without the values of its tensors, checked against the model's signature.

    Attributes:
        parameters: as in `InferenceRequest`.
        outputs: as there.
        classes: as there.
        shared_inputs: as there.
        shared_outputs: as there.
        binary_outputs: which outputs travel back as binary tensor data.
        slots: the other inputs, in the request's order.
    """

    parameters: dict[str, Parameter]
    outputs: tuple[str, ...]
    classes: dict[str, int]
    shared_inputs: dict[str, SharedInput]
    shared_outputs: dict[str, Placement]
    binary_outputs: frozenset[str]
    slots: tuple[Slot, ...]

    def fill(
        self, data: Sequence[object], blobs: memoryview, request_id: str | None
    ) -> DecodedRequest:
        """The request with these values.

        Args:
            data: of the slots whose values are in the JSON, in order.
            blobs: of the others, one behind the other.
            request_id: as in `InferenceRequest`.

        Raises:
            TensorInvalid: values are not what their input's datatype and shape want.
            BodyCorrupt: there are too few blobs, or too many.
        """
        inputs = {}
        values = iter(data)
        for slot in self.slots:
            name, datatype, shape, size = slot.name, slot.datatype, slot.shape, slot.size
            if size is None:
                value = next(values)
                inputs[name] = array_from_json(value, name=name, datatype=datatype, shape=shape)
                continue
            if size > len(blobs):
                raise BodyCorrupt(
                    f"input {excerpt(name)} has a binary_data_size of {size}; {len(blobs)} bytes of"
                    " the body are left for it (Inference-Header-Content-Length says where they"
                    " begin)"
                )
            blob, blobs = blobs[:size], blobs[size:]
            inputs[name] = array_from_bytes(blob, name=name, datatype=datatype, shape=shape)
        if blobs:
            raise BodyCorrupt(f"the body goes on for {len(blobs)} bytes after the last input")
        request = InferenceRequest(
            id=request_id,
            parameters=self.parameters,
            inputs=inputs,
            outputs=self.outputs,
            classes=self.classes,
            shared_inputs=self.shared_inputs,
            shared_outputs=self.shared_outputs,
        )
        return DecodedRequest(request, self.binary_outputs)


Key = tuple[bytes, ...]
"""What is left of a text when what differs from request to request was cut out of it."""


class Outlines:
    """Outlines of requests for one model that were seen, by what they are without their values.

    Holds some short ones, so that nobody can fill the memory with them. For one thread.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, Outline] = {}

    def get(self, key: Key) -> Outline | None:
        """The outline of a request that was seen."""
        return self._seen.get(key)

    def has_room(self, key: Key) -> bool:
        """Whether it is short enough to be remembered."""
        return sum(map(len, key)) <= _MOST_KEPT_BYTES

    def add(self, key: Key, outline: Outline) -> None:
        """Remember one, for which there is room."""
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[key] = outline


def cut_out(text: bytes) -> tuple[Key, str | None, list[bytes]]:
    """A short JSON text without what differs from request to request.

    What is cut out has neither quotes nor brackets: if the rest has one meaning with any id and any
    numbers in it, it has that with all.

    Returns:
        What is left, in pieces; the id that it begins with, if it does; and what is in its flat
        arrays of data, as far as that looks like numbers.
    """
    if len(text) > _MOST_BYTES:
        return (b"", text), None, []
    found = _ID.match(text)
    pieces = _NUMBERS.split(text if found is None else text[found.end() :])
    if found is None:
        return (b"", *pieces[::2]), None, pieces[1::2]
    return (b"id", *pieces[::2]), found[1].decode(), pieces[1::2]


def put_back(key: Key, request_id: str | None, *, first: int) -> bytes:
    """A text with these pieces that has this id, and arrays that hold a number each, from one on.

    Args:
        key: the pieces.
        request_id: the id, where there is one.
        first: of the numbers.
    """
    begin = b"" if request_id is None else b'{"id":"%b"' % request_id.encode()
    _, head, *others = key
    numbered = (_DATA % number + piece for number, piece in enumerate(others, first))
    return b"".join((begin, head, *numbered))


def read_numbers(text: bytes) -> Any:
    """The numbers of an array that was cut out.

    Raises:
        orjson.JSONDecodeError: they are none.
    """
    return orjson.loads(b"[%b]" % text)
