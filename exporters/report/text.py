"""Numbers and names as a reader wants them. Knows no HTML."""

import math
import unicodedata

__all__ = ["brief", "grouped", "number", "printable", "size"]

_MOST = 1000
_LARGE = 10**6
_UNITS = ("bytes", "kB", "MB", "GB")
_KEPT = frozenset("\n\t")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what shows nothing, or changes what is shown beside it."""


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits: ``0.0123``, ``1.23e-7``, or all of ``12 345``; a dash for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if abs(value) < _LARGE and (value == int(value) or abs(value) >= 10**digits):
        return grouped(round(value))
    shortest = f"{value:.1g}"
    text = shortest if float(shortest) == value else f"{value:#.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.removesuffix(".")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def grouped(value: int) -> str:
    """Digits in threes, apart by narrow spaces that do not break."""
    return f"{value:,}".replace(",", "\u202f")


def size(count: int) -> str:
    """Bytes in a decimal unit: ``1.23 MB``."""
    power = min(int(math.log10(count) // 3) if count else 0, len(_UNITS) - 1)
    return f"{number(count / 1000**power)}\u00a0{_UNITS[power]}"


def printable(text: str) -> str:
    """The text with what cannot be seen (controls, direction marks, halves of pairs) as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\ufffd" if unicodedata.category(c) in _HIDDEN and c not in _KEPT else c for c in text
    )


def brief(text: str, most: int = _MOST) -> str:
    """At most so many characters, the middle left out."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
