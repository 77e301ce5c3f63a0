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
    "Outline",
    "Outlines",
    "Slot",
    "numbered",
    "numbers_cut_out",
    "read_numbers",
]

_MOST_BYTES: Final = 4096
"""Of a text that is looked at."""

_MOST_KEPT_BYTES: Final = 1024
"""Of it, without the numbers, to be remembered."""

_MOST: Final = 64
_NUMBERS: Final = re.compile(rb'"data":\s*\[([-+.0-9eE,\s]*)\]')
_DATA: Final = b'"data":[%d]'


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
        id: as in `InferenceRequest`.
        parameters: as there.
        outputs: as there.
        classes: as there.
        shared_inputs: as there.
        shared_outputs: as there.
        binary_outputs: which outputs travel back as binary tensor data.
        slots: the other inputs, in the request's order.
    """

    id: str | None
    parameters: dict[str, Parameter]
    outputs: tuple[str, ...]
    classes: dict[str, int]
    shared_inputs: dict[str, SharedInput]
    shared_outputs: dict[str, Placement]
    binary_outputs: frozenset[str]
    slots: tuple[Slot, ...]

    def fill(self, data: Sequence[object], blobs: memoryview) -> DecodedRequest:
        """The request with these values.

        Args:
            data: of the slots whose values are in the JSON, in order.
            blobs: of the others, one behind the other.

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
            id=self.id,
            parameters=self.parameters,
            inputs=inputs,
            outputs=self.outputs,
            classes=self.classes,
            shared_inputs=self.shared_inputs,
            shared_outputs=self.shared_outputs,
        )
        return DecodedRequest(request, self.binary_outputs)


Key = tuple[bytes, ...]


class Outlines:
    """Outlines of requests for one model that were seen, by what they are without their values.

    Holds some short ones, so that nobody can fill the memory with them. For one thread.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, Outline] = {}

    def get(self, key: Key) -> Outline | None:
        """The outline of a request that was seen."""
        return self._seen.get(key)

    def add(self, key: Key, outline: Outline) -> None:
        """Remember one, if it is short; not one with an id, which will not come again."""
        if outline.id is not None or sum(map(len, key)) > _MOST_KEPT_BYTES:
            return
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[key] = outline


def numbers_cut_out(text: bytes) -> tuple[Key, list[bytes]]:
    """A short JSON text in pieces: what is around its flat arrays of data, and their content.

    What is cut out has neither quotes nor brackets: if the same pieces have one meaning with any
    numbers between them, they have it with all.
    """
    pieces = _NUMBERS.split(text) if len(text) <= _MOST_BYTES else [text]
    return tuple(pieces[::2]), pieces[1::2]


def numbered(key: Key) -> bytes:
    """The text with these pieces whose arrays hold 0, 1, 2 and so on."""
    between = (_DATA % number for number in range(len(key) - 1))
    return key[0] + b"".join(b"".join(pair) for pair in zip(between, key[1:], strict=True))


def read_numbers(text: bytes) -> Any:
    """The numbers of an array that was cut out.

    Raises:
        orjson.JSONDecodeError: they are none.
    """
    return orjson.loads(b"[%b]" % text)
