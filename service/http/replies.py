"""Replies to HTTP responses: encoded, compressed, with their headers. Sends nothing."""

from collections.abc import Set as AbstractSet
from typing import Final

from fastapi import Response

from service.codec import encode_reply
from service.http.compression import Coding, compress
from service.inference import InferenceReply

__all__ = ["is_quick", "response_of"]

_QUICK_ELEMENTS: Final = 1 << 16
"""Numbers or strings that are written as JSON in some milliseconds."""

_QUICK_BYTES: Final = 1 << 14
"""Bytes that are compressed in less time than handing them to another thread and back takes."""

_JSON_BYTES: Final = 12
"""Of a number in JSON, about."""


def is_quick(
    reply: InferenceReply, *, binary_outputs: AbstractSet[str], coding: Coding | None
) -> bool:
    """Whether `response_of` may keep the event loop: not where it takes many milliseconds."""
    elements = size = 0
    for output in reply.outputs:
        if output.spec.name in binary_outputs:
            size += output.array.nbytes
        else:
            elements += output.array.size
    if coding is not None and size + elements * _JSON_BYTES > _QUICK_BYTES:
        return False
    return elements <= _QUICK_ELEMENTS


def response_of(
    reply: InferenceReply,
    *,
    binary_outputs: AbstractSet[str],
    coding: Coding | None,
    level: int,
) -> Response:
    """The response that carries a reply.

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
    headers = {"vary": "Accept-Encoding"} if level else {}
    media_type = "application/json"
    if encoded.header_length is not None:
        media_type = "application/octet-stream"
        headers["inference-header-content-length"] = str(encoded.header_length)
    if coding is not None:
        headers["content-encoding"] = coding
        body = compress(body, coding, level=level)
    return Response(body, headers=headers, media_type=media_type)
