"""The train/eval gap as a picture: SVG without scripts, fonts or links. Measures nothing.

Colours are those of the page that it is put into (``--text``, ``--muted``, ``--line``, ``--back``,
``--accent``, ``--warn``), with fallbacks for light and dark where there is none. What it shows is
also said in its label, for those who cannot see it.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape

from exporters.statistics.agreement import (
    MEAN_ALLOWED,
    NOISE_MULTIPLE,
    VARIANCE_ALLOWED,
    Agreement,
)
from exporters.statistics.gap import SizeGap, TrainEvalGap

__all__ = ["draw_gap"]

_WIDTH = 560
_LEFT, _RIGHT = 56, 24
_CHART_TOP, _CHART_HEIGHT = 52, 170
_ROW = 20
_LAYERS = 12
_NAME_LENGTH = 26
_NAME_WIDTH, _BAR_WIDTH, _GAP = 190, 130, 52
_STYLE = """
.gap:root { color-scheme: light dark; }
.gap { --g-text: var(--text, light-dark(#1c2024, #e6e8eb));
  --g-muted: var(--muted, light-dark(#60646c, #a0a6ad));
  --g-line: var(--line, light-dark(#dfe3e6, #33383f));
  --g-back: var(--back, light-dark(#ffffff, #16181c));
  --g-accent: var(--accent, light-dark(#0b68cb, #70b8ff));
  --g-warn: var(--warn, light-dark(#ad5700, #f1a10d));
  width: 100%; max-width: 700px; height: auto; font: 12px system-ui, sans-serif; }
.gap text { fill: var(--g-text); stroke: var(--g-back); stroke-width: 3px; paint-order: stroke; }
 .gap .muted { fill: var(--g-muted); }
.gap .head { font-weight: 600; } .gap .end { text-anchor: end; } .gap .mid { text-anchor: middle; }
.gap .grid { stroke: var(--g-line); } .gap .range { stroke: var(--g-accent); stroke-width: 2; }
.gap .dot, .gap .bar { fill: var(--g-accent); } .gap .off { fill: var(--g-warn); }
.gap .noise { fill: none; stroke: var(--g-muted); stroke-dasharray: 4 4; }
.gap .limit { stroke: var(--g-text); stroke-width: 1.5; }
"""


def draw_gap(gap: TrainEvalGap) -> str:
    """Draw the gap over the batch size, and the layers that are furthest off.

    Args:
        gap: what was measured.

    Returns:
        An ``<svg>`` element, to be put into a page or written to a file as it is.
    """
    parts = [*_chart(gap)]
    height = _CHART_TOP + _CHART_HEIGHT + 44 + (_ROW if _has_metric(gap) else 0)
    furthest = sorted(gap.agreements, key=lambda found: found.excess, reverse=True)[:_LAYERS]
    if furthest:
        parts.extend(_layers(furthest, len(gap.agreements), height + 16))
        height += 16 + 2 * _ROW + _ROW * len(furthest) + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gap" viewBox="0 0 {_WIDTH} {height}"'
        f' role="img" aria-label="{escape(_description(gap))}">'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>"
    )


def _description(gap: TrainEvalGap) -> str:
    sizes = "; ".join(
        f"batches of {size.size}: {_percent(size.distance)}"
        + ("" if size.metric is None else f", {gap.metric_name} {size.metric:.4g}")
        for size in gap.sizes
    )
    said = "Training mode against eval mode. Relative distance of the outputs:"
    said += f" {sizes or 'no batch size was tried'}."
    if gap.metric_in_eval is not None:
        said += f" {gap.metric_name} in eval mode: {gap.metric_in_eval:.4g}."
    for found in gap.agreements:
        said += (
            f" {found.layer}: mean off by {found.mean_distance:.2g} running deviations, variance"
            f" by a factor of {math.exp(found.variance_distance):.3g}."
        )
    return said


def _chart(gap: TrainEvalGap) -> Iterator[str]:
    yield _text(0, 16, "Outputs in training mode against eval mode", "head")
    yield _text(0, 34, "relative distance; dashed: what sampling noise alone would do", "muted")
    bottom = _CHART_TOP + _CHART_HEIGHT
    finite = [size.highest for size in gap.sizes if math.isfinite(size.highest)]
    top = _round_up(max(finite, default=0.0))
    for step in range(5):
        value = top * step / 4
        y = bottom - _CHART_HEIGHT * step / 4
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, _percent(value), "muted end")
    places = _places(gap.sizes)
    noise = " ".join(
        f"{x:.1f},{bottom - _CHART_HEIGHT * min(value / top, 1):.1f}"
        for x, value in zip(places, _sampling_alone(gap.sizes), strict=True)
    )
    yield f'<polyline class="noise" points="{noise}"/>'
    for x, size in zip(places, gap.sizes, strict=True):
        y, low, high = (
            bottom - _CHART_HEIGHT * min(value / top, 1)
            for value in (size.distance, size.lowest, size.highest)
        )
        yield f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        yield _text(x + 7, y - 5, _percent(size.distance), "")
        yield _text(x, bottom + 18, str(size.size), "mid")
        if size.metric is not None:
            yield _text(x, bottom + 18 + _ROW, f"{size.metric:.4g}", "mid")
    in_eval = (
        ""
        if gap.metric_in_eval is None
        else f"; {gap.metric_name} in eval mode {gap.metric_in_eval:.4g}"
    )
    yield _text(0, bottom + 18, "batch", "muted")
    if _has_metric(gap):
        yield _text(0, bottom + 18 + _ROW, "metric", "muted")
    y = bottom + 38 + (_ROW if _has_metric(gap) else 0)
    yield _text(_WIDTH, y, f"{gap.rows} rows of real inputs{in_eval}", "muted end")


def _layers(furthest: Sequence[Agreement], count: int, top: float) -> Iterator[str]:
    shown = "" if len(furthest) == count else f" (the {len(furthest)} furthest off of {count})"
    yield _text(0, top + 12, f"Running statistics against real inputs{shown}", "head")
    mean_left = _NAME_WIDTH
    variance_left = mean_left + _BAR_WIDTH + _GAP
    yield _text(0, top + 12 + _ROW, "tick: what is allowed", "muted")
    yield _text(mean_left, top + 12 + _ROW, "mean, in deviations", "muted")
    yield _text(variance_left, top + 12 + _ROW, "variance, factor", "muted")
    for number, found in enumerate(furthest):
        y = top + 2 * _ROW + 4 + number * _ROW
        yield f"<g><title>{escape(found.layer)} ({escape(found.kind)})</title>"
        yield _text(0, y + 12, _shortened(found.layer), "")
        mean_limit = MEAN_ALLOWED + NOISE_MULTIPLE * found.mean_noise
        yield from _bar(mean_left, y, found.mean_distance, mean_limit, f"{found.mean_distance:.2f}")
        variance_limit = VARIANCE_ALLOWED + NOISE_MULTIPLE * found.variance_noise
        factor = f"×{math.exp(min(found.variance_distance, 99)):.3g}"
        yield from _bar(variance_left, y, found.variance_distance, variance_limit, factor)
        yield "</g>"


def _bar(left: float, y: float, value: float, limit: float, label: str) -> Iterator[str]:
    """A bar, and a tick at what is allowed, which stands at two thirds of the full length."""
    full = 1.5 * limit if math.isfinite(limit) else 1.0
    length = _BAR_WIDTH * min(value / full, 1) if math.isfinite(value) else _BAR_WIDTH
    kind = "bar" if value <= limit else "bar off"
    tick = left + _BAR_WIDTH / 1.5
    yield f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{length:.1f}" height="10" rx="2"/>'
    yield f'<line class="limit" x1="{tick:.1f}" x2="{tick:.1f}" y1="{y}" y2="{y + 16}"/>'
    yield _text(left + _BAR_WIDTH + 6, y + 12, label, "muted")


def _places(sizes: Sequence[SizeGap]) -> list[float]:
    """Where each size stands: logarithmic, with room for the label of the last one."""
    if not sizes:
        return []
    first, last = math.log2(sizes[0].size), math.log2(sizes[-1].size)
    width = _WIDTH - _RIGHT - _LEFT - 60
    return [
        _LEFT + 16 + width * (math.log2(size.size) - first) / max(last - first, 1) for size in sizes
    ]


def _sampling_alone(sizes: Sequence[SizeGap]) -> list[float]:
    """From the first size on, falling like 1/√size."""
    return [
        sizes[0].distance * math.sqrt(sizes[0].size / size.size)
        if math.isfinite(sizes[0].distance)
        else 0.0
        for size in sizes
    ]


def _has_metric(gap: TrainEvalGap) -> bool:
    return any(size.metric is not None for size in gap.sizes)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 and 8 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 4, 8) if value <= step * power), 10 * power)


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%" if math.isfinite(value) else "∞"


def _shortened(name: str) -> str:
    shown = name or "(the model)"
    return shown if len(shown) <= _NAME_LENGTH else "…" + shown[-_NAME_LENGTH + 1 :]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
