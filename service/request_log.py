"""The line in the log that each request gets when it is over. Knows no transport."""

import random
import re
import secrets
from typing import Any, Final

from service.logs import log_soon

__all__ = ["bounded", "log_request", "request_id_of", "told"]

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_CHARACTERS: Final = 256
_MESSAGE_CHARACTERS: Final = 1024

_random_bits = random.Random(secrets.randbits(256)).getrandbits  # noqa: S311 - ids are no secrets


def request_id_of(given: str | None) -> str:
    """The id of a request: the client's own if it is a sane one, and a new one otherwise."""
    return given if given and _SANE_ID.fullmatch(given) else f"{_random_bits(128):032x}"


def bounded(text: str, *, characters: int = _CHARACTERS) -> str:
    """Text that a client may have chosen, cut where it is too long; the log escapes it."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def log_request(event: str = "request", *, error: str | None = None, **fields: Any) -> None:
    """Log one request, with what its context says.

    Args:
        event: what it is.
        error: what the client was told, if it was refused.
        fields: the rest; text is bounded, and what is ``None`` left out.
    """
    log_soon({**told(error=error, **fields), "event": event}, has_context=True)


def told(*, error: str | None = None, **fields: Any) -> dict[str, Any]:
    """What the line says of a request."""
    said: dict[str, Any] = {
        name: bounded(value) if type(value) is str and len(value) > _CHARACTERS else value
        for name, value in fields.items()
        if value is not None
    }
    if error is not None:
        said["error"] = bounded(error, characters=_MESSAGE_CHARACTERS)
    return said
