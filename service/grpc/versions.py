"""Versions in messages: text that must be a number, or empty for the latest."""

from service.errors import ParameterInvalid, VersionUnknown, excerpt

__all__ = ["parse_version"]

_MOST_DIGITS = 18


def parse_version(text: str) -> int | None:
    """The version that a message names, or None where it leaves it open.

    Raises:
        ParameterInvalid: it is no number.
        VersionUnknown: no version can have that number.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ParameterInvalid(
            f"the model's version must be a number from 1 on; got {excerpt(text)}"
        )
    if len(text) > _MOST_DIGITS or text.startswith("0"):
        raise VersionUnknown(f"there is no version {excerpt(text)}; versions are numbers from 1 on")
    return int(text)
