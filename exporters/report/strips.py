"""Drawings as small as a word, for the cells of a table: inline SVG. Measures nothing.

The number stands beside each, so that they are hidden from those who listen.
"""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

__all__ = ["spark", "strip"]

_STRIP_WIDTH, _STRIP_HEIGHT = 84, 12
_STRIP_DECADES = (-4, 1)
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_POINTS = 72, 16, 24


def strip(part: float) -> Markup:
    """A dot on a log axis that ends at ten times the tolerance, with a tick at the tolerance.

    Args:
        part: an error in parts of its tolerance.
    """
    low, high = _STRIP_DECADES
    svg = _small("strip", _STRIP_WIDTH, _STRIP_HEIGHT)
    middle = _STRIP_HEIGHT / 2
    room = _STRIP_WIDTH - 8

    def place(decade: float) -> float:
        return 4 + room * (min(max(decade, low), high) - low) / (high - low)

    SubElement(svg, "path", {"class": "axis", "d": f"M4 {middle:g}H{_STRIP_WIDTH - 4}"})
    SubElement(svg, "path", {"class": "limit", "d": f"M{place(0):.4g} 1V11"})
    decade = low if part <= 0 else math.log10(part) if math.isfinite(part) else high
    kind = "dot" if part <= 1 else "dot outside"
    SubElement(
        svg, "circle", {"class": kind, "cx": f"{place(decade):.4g}", "cy": f"{middle:g}", "r": "3"}
    )
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - the builder has escaped it


def spark(values: Sequence[float]) -> Markup:
    """The shape of a spread: values in ascending order, log scale, without an axis.

    Args:
        values: those that are not positive and finite are left out.
    """
    logs = sorted(math.log10(value) for value in values if 0 < value < math.inf)
    svg = _small("spark", _SPARK_WIDTH, _SPARK_HEIGHT)
    if logs:
        count = min(len(logs), _SPARK_POINTS)
        chosen = [logs[round(i * (len(logs) - 1) / max(count - 1, 1))] for i in range(count)]
        span = (chosen[-1] - chosen[0]) or 1.0
        points = [
            f"{1 + (_SPARK_WIDTH - 2) * i / max(count - 1, 1):.3g}"
            f",{_SPARK_HEIGHT - 1 - (_SPARK_HEIGHT - 2) * (log - chosen[0]) / span:.3g}"
            for i, log in enumerate(chosen)
        ]
        SubElement(svg, "polyline", {"points": " ".join(points)})
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - the builder has escaped it


def _small(kind: str, width: int, height: int) -> Element:
    size = {"width": str(width), "height": str(height)}
    return Element("svg", {"class": kind, "aria-hidden": "true", **size})
