"""The content codings gzip and deflate, both ways. Knows nothing of what is inside.

Sources: RFC 9110, sections 8.4 (Content-Encoding) and 12.5.3 (Accept-Encoding); "deflate" is the
zlib format (RFC 1950).
"""

import zlib
from typing import Literal

from service.errors import BodyCorrupt, BodyTooLarge, EncodingUnsupported, excerpt

__all__ = ["Coding", "compress", "content_coding", "decompress", "negotiate"]

Coding = Literal["gzip", "deflate"]

_WINDOW_BITS: dict[Coding, int] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_NAMES: dict[str, Coding] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


def content_coding(header: str | None) -> Coding | None:
    """The coding that a Content-Encoding header names, or ``None`` for none.

    Raises:
        EncodingUnsupported: it is another one, or more than one.
    """
    tokens = [token.strip().lower() for token in (header or "").split(",")]
    names = [token for token in tokens if token not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in _NAMES:
        raise EncodingUnsupported(
            f"the body's Content-Encoding is {excerpt(header)};"
            " this server understands one of gzip, deflate and identity"
        )
    return _NAMES[names[0]]


def decompress(data: bytes, coding: Coding, *, limit: int) -> bytes:
    """Decompress a body that is one stream, never to more than ``limit`` bytes.

    Raises:
        BodyTooLarge: it is larger than that; what was decompressed so far is dropped.
        BodyCorrupt: the data are not of that coding, end early, or go on after the stream's end.
    """
    decoder = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        plain = decoder.decompress(data, limit + 1)
    except zlib.error as err:
        raise BodyCorrupt(f"the body is not {coding}, as its Content-Encoding says: {err}") from err
    if len(plain) > limit:
        raise BodyTooLarge(
            f"the body is larger than {limit} bytes when decompressed, the most this server takes"
        )
    if not decoder.eof:
        raise BodyCorrupt(f"the body's {coding} data end too early")
    if decoder.unused_data:
        raise BodyCorrupt(f"the body goes on after the end of its {coding} data")
    return plain


def negotiate(accept_encoding: str | None) -> Coding | None:
    """The coding that a client wants its reply in, or ``None`` for none.

    The highest quality wins, gzip before deflate where they are equal; a coding that is not named
    is not used, not even for ``*``.
    """
    if not accept_encoding or accept_encoding == "identity":
        return None
    qualities = dict(map(_quality, accept_encoding.lower().split(",")))
    best = max(_WINDOW_BITS, key=lambda coding: qualities.get(coding, 0.0))
    quality = qualities.get(best, 0.0)
    if quality <= 0.0 or qualities.get("identity", 0.0) > quality:
        return None
    return best


def compress(data: bytes, coding: Coding, *, level: int) -> bytes:
    """Compress a reply; ``level`` is zlib's, 1 (quick) to 9 (small)."""
    return zlib.compress(data, level, wbits=_WINDOW_BITS[coding])


def _quality(token: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in token.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0
