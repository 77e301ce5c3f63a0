"""Replies to HTTP: encoded, compressed, with their headers. Sends nothing."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import Response

from service.codec import encode_reply
from service.http.compression import Coding, compress
from service.inference import InferenceReply

__all__ = ["Answer", "answer_of", "is_quick"]

_QUICK_ELEMENTS: Final = 1 << 16
"""Numbers or strings that are written as JSON in some milliseconds."""

_QUICK_BYTES: Final = 1 << 14
"""Bytes that are compressed in less time than handing them to another thread and back takes."""

_JSON_BYTES: Final = 12
"""Of a number in JSON, about."""

_VARY: Final = (b"vary", b"Accept-Encoding")
_JSON: Final = (b"content-type", b"application/json")
_BINARY: Final = (b"content-type", b"application/octet-stream")


@dataclass(slots=True)
class Answer:
    """A whole response, as it is sent: a `Response` is one, too, and takes longer to make.

    Attributes:
        status_code: of it.
        raw_headers: of it, those of the connection left out.
        body: of it.
    """

    status_code: int
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> Response:
        """The same for the framework."""
        response = Response(status_code=self.status_code)
        response.body, response.raw_headers = self.body, self.raw_headers
        return response


def is_quick(
    reply: InferenceReply, *, binary_outputs: AbstractSet[str], coding: Coding | None
) -> bool:
    """Whether `answer_of` may keep the event loop: not where it takes many milliseconds."""
    elements = size = 0
    for output in reply.outputs:
        if output.spec.name in binary_outputs:
            size += output.array.nbytes
        else:
            elements += output.array.size
    if coding is not None and size + elements * _JSON_BYTES > _QUICK_BYTES:
        return False
    return elements <= _QUICK_ELEMENTS


def answer_of(
    reply: InferenceReply,
    *,
    binary_outputs: AbstractSet[str],
    coding: Coding | None,
    level: int,
) -> Answer:
    """The answer that carries a reply.

    Args:
        reply: what was computed.
        binary_outputs: names of the outputs that travel as binary tensor data.
        coding: that the client wants it in.
        level: of compression; with 0 nothing is ever compressed.

    Raises:
        NotJsonRepresentable: an output that travels as JSON holds what JSON cannot carry.
    """
    encoded = encode_reply(reply, binary_outputs=binary_outputs)
    body = encoded.body
    headers = [_VARY] if level else []
    if encoded.header_length is not None:
        headers.append((b"inference-header-content-length", b"%d" % encoded.header_length))
    if coding is not None:
        headers.append((b"content-encoding", coding.encode()))
        body = compress(body, coding, level=level)
    headers.append((b"content-length", b"%d" % len(body)))
    headers.append(_JSON if encoded.header_length is None else _BINARY)
    return Answer(HTTPStatus.OK, headers, body)
