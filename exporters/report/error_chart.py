"""The errors of an output as a chart: inline SVG, colours from the page. Counts nothing.

It is a few hundred pixels wide, so that its text stays as large as the page's on a telephone, and
what it shows is said in its description too.
"""

import math
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from exporters.error_histogram import HIGHEST_POWER, LOWEST_POWER, ErrorHistogram
from exporters.report.document import OutputParity
from exporters.report.text import brief, grouped, number, printable

__all__ = ["error_chart"]

_WIDTH, _HEIGHT = 340, 172
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 4, 22, 40
_ZERO_WIDTH = 14
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_START = _LEFT + _ZERO_WIDTH + 22
_BIN = (_WIDTH - _RIGHT - _START) / (HIGHEST_POWER - LOWEST_POWER)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NAME = 80


def error_chart(parity: OutputParity, *, identity: str) -> Markup:
    """How many elements of an output have which error, in parts of the tolerance; log and log.

    Bars are the file's, the line is PyTorch's own error in its own precision.

    Args:
        parity: the output.
        identity: of the chart, the only one of its page.
    """
    name = brief(printable(parity.output.name), _NAME)
    svg = _image(_WIDTH, _HEIGHT, "chart", identity)
    _say(svg, identity, f"Errors of output {name}", _described(parity))
    decades = max(1, math.ceil(math.log10(parity.errors.elements or 1)))
    _share_axis(svg, decades)
    _error_axis(svg)
    for place, share in enumerate(_shares(parity.errors)):
        if share:
            left, width = _bin(place)
            top = _height_of(share, decades)
            is_outside = place > -LOWEST_POWER
            SubElement(
                svg,
                "rect",
                {
                    "class": "bar outside" if is_outside else "bar",
                    **_at(x=left + 0.5, y=top, width=width - 1, height=_TOP + _PLOT_HEIGHT - top),
                },
            )
    if parity.own_errors is not None:
        SubElement(svg, "path", {"class": "own", "d": _outline(parity.own_errors, decades)})
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - the builder has escaped it


def _described(parity: OutputParity) -> str:
    errors, own = parity.errors, parity.own_errors
    said = (
        f"{grouped(errors.elements)} elements of all runs; {grouped(errors.equal)} have no error;"
        f" the largest error is {number(errors.largest)} of the tolerance;"
        f" {grouped(errors.outside)} are outside it."
    )
    if own is not None:
        said += f" PyTorch's own largest error is {number(own.largest)} of the tolerance."
    powers = [
        f"up to {number(2.0 ** (LOWEST_POWER + place + 1))}: {grouped(count)}"
        for place, count in enumerate(errors.counts)
        if count
    ]
    return f"{said} Elements by their error, in parts of the tolerance: {', '.join(powers)}."


def _shares(errors: ErrorHistogram) -> list[float]:
    """Of the elements: those without an error first, then bin by bin."""
    elements = max(errors.elements, 1)
    return [count / elements for count in (errors.equal, *errors.counts)]


def _bin(place: int) -> tuple[float, float]:
    """Left end and width of a bar; the first stands apart: zero has no place on a log axis."""
    return (_LEFT + 4, _ZERO_WIDTH) if place == 0 else (_START + (place - 1) * _BIN, _BIN)


def _height_of(share: float, decades: int) -> float:
    """The top of a bar. The axis begins half a decade below one element, so that one shows."""
    if not share:
        return _TOP + _PLOT_HEIGHT
    part = (math.log10(share) + decades + 0.5) / (decades + 0.5)
    return _TOP + _PLOT_HEIGHT * (1 - min(max(part, 0), 1))


def _outline(errors: ErrorHistogram, decades: int) -> str:
    steps = []
    for place, share in enumerate(_shares(errors)):
        left, width = _bin(place)
        top = _height_of(share, decades)
        steps.append(f"{'M' if place < 2 else 'L'}{left:.1f} {top:.1f}H{left + width:.1f}")
    return "".join(steps)


def _share_axis(svg: Element, decades: int) -> None:
    step = max(1, math.ceil(decades / 4))
    for power in range(0, decades + 1, step):
        y = _height_of(10.0**-power, decades)
        SubElement(svg, "path", {"class": "grid", "d": f"M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"})
        percent = f"{10.0 ** (2 - power):g} %" if power < 5 else f"{_power_of_ten(2 - power)} %"
        _text(svg, percent, x=_LEFT - 4, y=y + 4, kind="end")
    _text(svg, "share of elements", x=0, y=10, kind="")


def _error_axis(svg: Element) -> None:
    bottom = _TOP + _PLOT_HEIGHT
    SubElement(svg, "path", {"class": "axis", "d": f"M{_LEFT} {bottom}H{_WIDTH - _RIGHT}"})
    _text(svg, "0", x=_LEFT + 4 + _ZERO_WIDTH / 2, y=bottom + 14, kind="middle")
    for decade in range(-6, 3):
        x = _START + _BIN * (decade * math.log2(10) - LOWEST_POWER)
        SubElement(svg, "path", {"class": "axis", "d": f"M{x:.1f} {bottom}v4"})
        if decade % 2 == 0:
            _text(svg, _power_of_ten(decade), x=x, y=bottom + 14, kind="middle")
    limit = _START - _BIN * LOWEST_POWER
    SubElement(svg, "path", {"class": "limit", "d": f"M{limit:.1f} {_TOP - 6}V{bottom}"})
    _text(svg, "tolerance", x=limit, y=10, kind="middle strong")
    _text(svg, "error / tolerance", x=_WIDTH - _RIGHT, y=_HEIGHT - 6, kind="end")


def _power_of_ten(power: int) -> str:
    return "1" if power == 0 else "10" + str(power).translate(_SUPERSCRIPTS)


def _image(width: int, height: int, kind: str, identity: str) -> Element:
    labels = f"{identity}-title {identity}-text"
    return Element(
        "svg",
        {
            "class": kind,
            "viewBox": f"0 0 {width} {height}",
            "role": "img",
            "aria-labelledby": labels,
            **_size(width, height),
        },
    )


def _say(svg: Element, identity: str, title: str, description: str) -> None:
    SubElement(svg, "title", {"id": f"{identity}-title"}).text = title
    SubElement(svg, "desc", {"id": f"{identity}-text"}).text = description


def _text(svg: Element, text: str, *, x: float, y: float, kind: str) -> None:
    SubElement(svg, "text", {"class": kind, **_at(x=x, y=y)}).text = text


def _size(width: int, height: int) -> dict[str, str]:
    return {"width": str(width), "height": str(height)}


def _at(**coordinates: float) -> dict[str, str]:
    return {name: f"{value:.4g}" for name, value in coordinates.items()}
