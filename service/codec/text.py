"""JSON text to plain objects, and typed access to their fields. Knows nothing of tensors.

Stricter than most parsers, because a lenient one makes two readers of the same bytes disagree:
only UTF-8, no NaN or Infinity, no number beyond a double, no name twice in one object.
"""

import re
from typing import Any

import orjson

from service.errors import JsonInvalid, excerpt

__all__ = [
    "array_field",
    "kind",
    "optional_object",
    "optional_text",
    "parse_object",
    "size_field",
    "text_field",
]

_CONTAINERS = (dict, list)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?', re.DOTALL)


def parse_object(text: bytes | memoryview) -> dict[str, Any]:
    """Parse a JSON object (RFC 8259).

    An integer between -2**63 and 2**64 - 1 is an ``int``, every other number a ``float``.

    Raises:
        JsonInvalid: the text is not JSON in UTF-8, not an object, nested deeper than 1024, or one
            of its objects has a name twice.
    """
    text = bytes(text)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as err:
        raise JsonInvalid(f"the request is not valid JSON: {err}{_hint(text)}") from err
    if not isinstance(value, dict):
        raise JsonInvalid(f"the request must be a JSON object; it is {kind(value)}")
    _refuse_repeated_names(value, text)
    return value


def text_field(fields: dict[str, Any], name: str, *, of: str) -> str:
    """A string that must be there.

    Raises:
        JsonInvalid: it is not, or it is no string.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise JsonInvalid(f"{of} needs {name!r}, a string; got {_got(fields, name)}")
    return value


def optional_text(fields: dict[str, Any], name: str, *, of: str) -> str | None:
    """A string that may be left out or null.

    Raises:
        JsonInvalid: it is neither.
    """
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise JsonInvalid(f"{name!r} of {of} must be a string; got {_got(fields, name)}")
    return value


def size_field(fields: dict[str, Any], name: str, *, of: str, default: int | None = None) -> int:
    """An integer of at least 0, which must be there if it has no default.

    Raises:
        JsonInvalid: it is not, or it is no such integer.
    """
    value = fields.get(name, default)
    if type(value) is not int or value < 0:
        raise JsonInvalid(
            f"{of} needs {name!r}, an integer of at least 0; got {_got(fields, name)}"
        )
    return value


def array_field(fields: dict[str, Any], name: str, *, of: str) -> list[Any]:
    """An array that must be there.

    Raises:
        JsonInvalid: it is not, or it is no array.
    """
    value = fields.get(name)
    if not isinstance(value, list):
        raise JsonInvalid(f"{of} needs {name!r}, an array; got {_got(fields, name)}")
    return value


def optional_object(fields: dict[str, Any], name: str, *, of: str) -> dict[str, Any]:
    """An object that may be left out or null; then it is empty.

    Raises:
        JsonInvalid: it is something else.
    """
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise JsonInvalid(f"{name!r} of {of} must be an object; got {_got(fields, name)}")
    return value


def kind(value: object) -> str:
    """What a parsed value is called in JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _got(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        return "nothing"
    value = fields[name]
    return (
        f"{kind(value)}, {excerpt(value)}" if isinstance(value, str | int | float) else kind(value)
    )


def _hint(text: bytes) -> str:
    if b"NaN" in text or b"Infinity" in text:
        return " (JSON has no NaN and no Infinity; send such values as binary tensor data)"
    return ""


def _refuse_repeated_names(value: dict[str, Any], text: bytes) -> None:
    # A parser keeps one of two equal names and drops the other without a word. Each member that
    # was kept has a colon of its own in the text, so if there are no more colons than members,
    # none was dropped. Only where strings hold colons, or objects hide among numbers, are the
    # members counted one by one and the strings told apart.
    if text.count(b":") == _count_members(value, every_element=False):
        return
    written = sum(1 for string in _STRING.finditer(text) if string[1])
    if written != _count_members(value, every_element=True):
        raise JsonInvalid("an object of the request has the same name twice")


def _count_members(root: dict[str, Any], *, every_element: bool) -> int:
    # on the way of every request, hence the exact types, which a parser gives, and few calls
    count = 0
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            count += len(value)
            waiting += [e for e in value.values() if type(e) in _CONTAINERS]
        elif every_element or (value and type(value[0]) in _CONTAINERS):
            waiting += [e for e in value if type(e) in _CONTAINERS]
    return count
