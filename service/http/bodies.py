"""Request bodies off the wire: bounded, decompressed, whole. Looks at no Content-Type.

Clients of the protocol send none (tritonclient.http), ``application/octet-stream`` around pure JSON
(its asyncio form) or ``application/x-www-form-urlencoded`` (curl -d): it says nothing.
"""

import asyncio
import contextlib

from fastapi import Request

from service.errors import BodyCorrupt, BodyTooLarge, excerpt
from service.http.compression import content_coding, decompress

__all__ = ["QUICK_JSON_BYTES", "read_body", "read_header_length"]

QUICK_JSON_BYTES = 1 << 20
"""JSON that is read in some milliseconds; more of it would keep other requests waiting."""

_QUICK_BYTES = 1 << 16
_QUICK_PLAIN_BYTES = 1 << 20
"""Compressed bytes, and what they may become, that take less time than handing them to another
thread and back."""


async def read_body(request: Request, *, limit: int) -> bytes:
    """The whole body, decompressed.

    Args:
        request: whose body was not read yet.
        limit: bytes that it may have, as sent and decompressed.

    Raises:
        BodyTooLarge: it has more; no more than the limit was held in memory.
        BodyCorrupt: it is not in the coding that its header names.
        EncodingUnsupported: it is in a coding that is not understood.
        starlette.requests.ClientDisconnect: the client went away.
    """
    coding = content_coding(", ".join(request.headers.getlist("content-encoding")))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    body = b"".join(chunks)
    if coding is None:
        return body
    if size <= _QUICK_BYTES:
        with contextlib.suppress(BodyTooLarge):
            return decompress(body, coding, limit=min(limit, _QUICK_PLAIN_BYTES))
    return await asyncio.to_thread(decompress, body, coding, limit=limit)


def read_header_length(request: Request) -> int | None:
    """The bytes of JSON that the body begins with, or ``None`` where no header says it.

    Raises:
        BodyCorrupt: the header is no number.
    """
    values = set(request.headers.getlist("inference-header-content-length"))
    if not values:
        return None
    value = ", ".join(sorted(values))
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise BodyCorrupt(
            f"Inference-Header-Content-Length is {excerpt(value)}; it must be a number of bytes"
        )
    return int(value)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes, the most this server takes")
