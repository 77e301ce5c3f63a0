"""The plots of the page, as SVG that is read on light and on dark ground. Computes nothing new."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.ticker
from serving.goals import load_of
from serving.parts import Results
from serving.servers import NAIVE
from serving.throughput import CONCURRENCIES

from normserve.bench.measure import median
from normserve.bench.shots import GRPC, HTTP_BINARY, HTTP_JSON

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

__all__ = ["PLOTS", "draw"]

_INK = "#808790"
_COLORS: Final = {
    NAIVE: "#d9822b",
    HTTP_JSON: "#3d8fd1",
    HTTP_BINARY: "#22a06b",
    GRPC: "#9a6dd7",
}
_REFUSED = "#d64545"
_NEAR = 4
"""Times the quickest server: a line for the runtime beyond that would leave no room for bars."""
_STYLE: Final = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "font.size": 9,
    "savefig.transparent": True,
    "svg.hashsalt": "normserve",
}


def draw(results: Results, folder: Path) -> list[str]:
    """Draw what there are results for; the names of the files."""
    drawn = []
    for name, plot in PLOTS.items():
        with mpl.rc_context(_STYLE):
            figure = plot(results)
            if figure is not None:
                figure.savefig(folder / name, metadata={"Date": None})
                plt.close(figure)
                drawn.append(name)
    return drawn


def _throughput(results: Results) -> Figure | None:
    """Bars: each server's throughput, and a line for the runtime's own where it is near."""
    if results.throughput is None:
        return None
    networks = results.throughput.networks
    figure, axes = _panels(len(networks), height=2.9)
    for axis, network in zip(axes, networks, strict=True):
        alone = median(each.per_s for each in network.bare)
        most = 0.0
        for index, (form, color) in enumerate(_COLORS.items()):
            rates = [load.per_s for load in load_of(network.rows, form, 16).loads]
            middle = median(rates)
            error = [[middle - min(rates)], [max(rates) - middle]]
            axis.bar(index, middle, color=color, width=0.72, yerr=error, ecolor=_INK, label=form)
            axis.annotate(
                f"{middle:,.0f}",
                (index, max(rates)),
                textcoords="offset points",
                xytext=(0, 3),
                ha="center",
                fontsize=7.5,
            )
            most = max(most, *rates)
        if alone < _NEAR * most:
            axis.axhline(alone, color=_INK, linewidth=1, linestyle="--")
        axis.set_title(f"{network.network}\nalone {alone:,.0f}/s")
        axis.set_xticks([])
        axis.margins(y=0.15)
    axes[0].set_ylabel("requests a second")
    return _with_legend(figure, axes[0])


def _latency(results: Results) -> Figure | None:
    """Lines: half of the answers, and all but one in a hundred, over concurrency."""
    if results.throughput is None:
        return None
    networks = results.throughput.networks
    figure, axes = _panels(len(networks), height=2.9)
    for axis, network in zip(axes, networks, strict=True):
        for form, color in _COLORS.items():
            loads = [load_of(network.rows, form, c).loads for c in CONCURRENCIES]
            p50 = [median(load.p50_ms for load in of) for of in loads]
            p99 = [median(load.p99_ms for load in of) for of in loads]
            axis.plot(CONCURRENCIES, p50, color=color, marker="o", markersize=4, label=form)
            axis.plot(CONCURRENCIES, p99, color=color, linewidth=1, linestyle=":")
        axis.set_xscale("log", base=2)
        _log(axis)
        axis.set_xticks(CONCURRENCIES, [str(each) for each in CONCURRENCIES])
        axis.set_title(network.network)
        axis.set_xlabel("requests at once")
        axis.grid(visible=True, axis="y")
    axes[0].set_ylabel("milliseconds (p50; p99 dotted)")
    return _with_legend(figure, axes[0])


def _overload(results: Results) -> Figure | None:
    """What was answered and refused over time, and how quickly it was answered."""
    if results.overload is None or not results.overload.timeline:
        return None
    found = results.overload
    at = [moment.at_s for moment in found.timeline]
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8, 4), sharex=True, layout="constrained", height_ratios=(3, 2)
    )
    refused = [moment.refused_per_s for moment in found.timeline]
    good = [moment.good_per_s for moment in found.timeline]
    above.fill_between(at, refused, color=_REFUSED, alpha=0.35, linewidth=0, label="refused (503)")
    above.plot(at, good, color=_COLORS[HTTP_BINARY], label="answered")
    above.axhline(found.rounds[-1].peak_per_s, color=_INK, linestyle="--", label="peak before")
    above.set_yscale("symlog", linthresh=100)
    above.set_ylim(bottom=0)
    above.set_ylabel("a second")
    p50 = [
        moment.p50_ms if moment.p50_ms is not None else float("nan") for moment in found.timeline
    ]
    below.plot(at, p50, color=_COLORS[HTTP_JSON])
    _log(below)
    below.set_ylabel("p50 of the\nanswers, ms")
    below.set_xlabel("seconds since the overload began")
    for axis in (above, below):
        axis.axvspan(0, found.seconds, color=_INK, alpha=0.12, linewidth=0)
        axis.grid(visible=True, axis="y")
    return _with_legend(figure, above)


def _memory(results: Results) -> Figure | None:
    """Resident memory over requests."""
    if results.endurance is None:
        return None
    held = results.endurance.held
    figure, axis = plt.subplots(figsize=(8, 2.6), layout="constrained")
    requests = [each.requests for each in held]
    memory = [each.resident_mib for each in held]
    axis.plot(requests, memory, color=_COLORS[HTTP_JSON], marker="o")
    axis.set_ylim(0, 1.15 * max(memory))
    axis.set_xlabel("requests so far")
    axis.set_ylabel("MiB, all processes")
    axis.grid(visible=True, axis="y")
    axis.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    return figure


def _scaling(results: Results) -> Figure | None:
    """Of the runtime's own throughput over size and over rows; memory over models."""
    if results.scaling is None:
        return None
    found = results.scaling
    figure, (size, rows, models) = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for axis, points, values, label in (
        (size, [each.parameters for each in found.sizes], found.sizes, "parameters"),
        (rows, [each.rows for each in found.rows], found.rows, "rows of a request"),
    ):
        ratios = [
            median(s / b for s, b in zip(each.per_s, each.bare_per_s, strict=True))
            for each in values
        ]
        axis.plot(points, ratios, color=_COLORS[HTTP_BINARY], marker="o")
        axis.axhline(1.0, color=_INK, linewidth=1, linestyle="--")
        _ticks(axis, points)
        axis.set_ylim(0, 1.15 * max(1.0, *ratios))
        axis.set_xlabel(label)
        axis.set_ylabel("of the runtime alone")
        axis.grid(visible=True, axis="y")
    count = [each.models for each in found.models]
    for label, color, values in (
        ("NormServe", _COLORS[HTTP_JSON], [each.resident_mib for each in found.models]),
        ("one process, no server", _INK, [each.alone_mib for each in found.models]),
    ):
        models.plot(count, values, color=color, marker="o", label=label)
    _ticks(models, count)
    models.set_ylim(bottom=0)
    models.set_xlabel("models")
    models.set_ylabel("MiB, all processes")
    models.legend(fontsize=8)
    models.grid(visible=True, axis="y")
    return figure


PLOTS: Final[Mapping[str, Callable[[Results], Figure | None]]] = {
    "serving_throughput.svg": _throughput,
    "serving_latency.svg": _latency,
    "serving_overload.svg": _overload,
    "serving_memory.svg": _memory,
    "serving_scaling.svg": _scaling,
}
"""By the names of their files."""


def _panels(count: int, *, height: float) -> tuple[Figure, list[Any]]:
    figure, axes = plt.subplots(
        1, count, figsize=(2.3 * max(count, 2) + 0.6, height), layout="constrained", squeeze=False
    )
    return figure, list(axes[0])


def _ticks(axis: Any, points: Sequence[int]) -> None:
    """A logarithmic scale with a mark for each point."""
    axis.set_xscale("log")
    axis.set_xticks(points, [f"{point:,}" for point in points])
    axis.minorticks_off()


def _log(axis: Any) -> None:
    """A logarithmic scale, where anything was drawn that has a logarithm."""
    drawn = (value for line in axis.get_lines() for value in line.get_ydata())
    if any(value > 0 for value in drawn):
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 3)))
        axis.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
        axis.yaxis.set_minor_locator(mpl.ticker.NullLocator())


def _with_legend(figure: Figure, axis: Any) -> Figure:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
