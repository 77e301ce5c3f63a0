"""A changed configuration as text: what nobody changed stays as it was written, comments too.

Not for: what is changed (`normserve.tune.config`).
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from google.protobuf import text_format

from service.model_config import read_config

__all__ = ["rewritten"]

_TOKEN: Final = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<open>[{\[<])
      | (?P<close>[}\]>])
      | (?P<end>[;,])
      | (?P<colon>:)
      | (?P<word>[^\s{}\[\]<>;,:"'#]+)""",
    re.VERBOSE,
)


class _Field(NamedTuple):
    """One field of the whole message: its name, and where its text begins and ends."""

    name: str
    start: int
    end: int


def rewritten(text: str, config: Any, changed: set[str]) -> str:
    """The text of a configuration with other values of some of its fields.

    Args:
        text: that is there, a ``config.pbtxt``.
        config: the ``ModelConfig`` message that it is to become.
        changed: the fields in which it differs. Comments within them are lost.

    Raises:
        LoadFailed: the text is no configuration.
        ValueError: the fields differ in others than those that are said to.
    """
    fresh = {name: _written(config, name) for name in sorted(changed)}
    pieces: list[str] = []
    place = 0
    for field in _fields(text):
        if field.name not in changed:
            continue
        pieces.append(text[place : field.start])
        written = fresh.pop(field.name, "")
        pieces.append(written.rstrip("\n"))
        place = field.end
        if not written and text[place : place + 1] == "\n":
            place += 1
    pieces.append(text[place:])
    kept = "".join(pieces)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    result = kept + "".join(fresh.values())
    if read_config(result) != config:
        raise ValueError(f"the configuration cannot be rewritten in {', '.join(sorted(changed))}")
    return result


def _written(config: Any, name: str) -> str:
    alone = type(config)()
    alone.CopyFrom(config)
    for field, _ in config.ListFields():
        if field.name != name:
            alone.ClearField(field.name)
    text: str = text_format.MessageToString(alone)
    return text


def _fields(text: str) -> Iterator[_Field]:
    """The fields of the message in a text that is one, in order; none of those within them."""
    name, start, end = "", 0, 0
    depth = 0
    has_value = False
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "comment":
            continue
        if depth:
            depth += (kind == "open") - (kind == "close")
            end = token.end()
            continue
        if kind == "word" and (not name or has_value):
            if name:
                yield _Field(name, start, end)
            name, start, has_value = token.group(), token.start(), False
        elif kind == "open":
            depth, has_value = 1, True
        elif kind in ("string", "word"):
            has_value = True
        end = token.end()
    if name:
        yield _Field(name, start, end)
