"""BYTES elements through ONNX Runtime's Python binding, byte for byte.

ONNX strings are byte strings, but the binding takes and gives Python ``str`` (and turns a ``bytes``
object silently into its ``repr``). UTF-8 text passes as what it is. In a run where some element
is not UTF-8, each byte that does not decode travels as one code point of Unicode's plane 16
private-use area and is turned back on the way out: operators that move strings around (Identity,
Gather, Concat, StringConcat …) then keep every byte, and no comparison with text can match by
accident.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bundle.errors import InputInvalid

__all__ = ["decode_elements", "encode_elements"]

_SURROGATE = 0xDC80  # what "surrogateescape" (PEP 383) makes of byte 0x80
_PRIVATE = 0x10FC80
_ESCAPE = {_SURROGATE + i: _PRIVATE + i for i in range(128)}
_UNESCAPE = {private: surrogate for surrogate, private in _ESCAPE.items()}


def decode_elements(arrays: Iterable[np.ndarray]) -> tuple[list[np.ndarray], bool]:
    """Arrays of ``bytes`` (or ``str``) as arrays of ``str`` for ONNX Runtime.

    Args:
        arrays: all the BYTES inputs of one run, dtype ``object``, any shape.

    Returns:
        The arrays of ``str``, and whether bytes were escaped: give that to `encode_elements`.

    Raises:
        InputInvalid: an element is neither ``bytes`` nor ``str``; or the run mixes bytes that are
            not UTF-8 with the private code points that would stand for them.
    """
    given = list(arrays)
    escaped = not all(_is_text(element) for array in given for element in array.flat)
    return [_map(array, _escaped if escaped else _text) for array in given], escaped


def encode_elements(array: np.ndarray, *, escaped: bool) -> np.ndarray:
    """An array of ``str`` from ONNX Runtime as an array of ``bytes`` of the same shape."""
    return _map(array, _unescaped if escaped else _utf8)


def _map(array: np.ndarray, convert: Callable[[Any], object]) -> np.ndarray:
    # not through a list: numpy would make fixed-width strings of it and strip trailing zero bytes
    return np.asarray(np.frompyfunc(convert, 1, 1)(array), dtype=object)


def _is_text(element: object) -> bool:
    if isinstance(element, str):
        return True
    if not isinstance(element, bytes):
        raise InputInvalid(
            f"a BYTES element is a {type(element).__name__}; it must be bytes or str."
        )
    try:
        element.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(element: bytes | str) -> str:
    return element if isinstance(element, str) else element.decode()


def _utf8(element: str) -> bytes:
    return element.encode()


def _escaped(element: bytes | str) -> str:
    text = (
        element if isinstance(element, str) else element.decode("utf-8", errors="surrogateescape")
    )
    if not _UNESCAPE.keys().isdisjoint(map(ord, text)):
        raise InputInvalid(
            "BYTES elements of one request are either UTF-8 or free of the code points U+10FC80"
            " to U+10FCFF; this request has both bytes that are not UTF-8 and such a code point."
        )
    return text.translate(_ESCAPE)


def _unescaped(element: str) -> bytes:
    return element.translate(_UNESCAPE).encode("utf-8", errors="surrogateescape")
