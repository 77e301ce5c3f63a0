"""The rows of the tables of normalization layers: the census and the measurements put together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bundle import NormLayer, NormStatistics
from exporters.report.document import ExportReport
from exporters.statistics import NetworkAxes

__all__ = ["NormRow", "StatisticsRow", "norm_rows", "statistics_rows"]

_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class NormRow:
    """One normalization layer.

    Attributes:
        layer: as the census has it.
        training: axes along which it shares statistics in training mode.
        evaluation: the same in eval mode.
        part: its own error in parts of its tolerance; None where no value of the file is its own.
    """

    layer: NormLayer
    training: str
    evaluation: str
    part: float | None


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """The running statistics of a layer, over its channels.

    Attributes:
        layer: its name.
        variances: σ² of each channel, in ascending order.
        epsilon: ε.
        gain: the largest 1/√(σ² + ε), infinite where that has no value.
        mean: the largest absolute μ.
    """

    layer: str
    variances: tuple[float, ...]
    epsilon: float
    gain: float
    mean: float

    @property
    def median(self) -> float:
        """The middle variance, the larger of two."""
        return self.variances[len(self.variances) // 2]


def statistics_rows(report: ExportReport) -> tuple[StatisticsRow, ...]:
    """Every layer with running statistics, in the order of the census."""
    return tuple(
        _statistics_row(layer.name, layer.statistics)
        for layer in report.manifest.norms
        if layer.statistics is not None and layer.statistics.variance
    )


def _statistics_row(name: str, statistics: NormStatistics) -> StatisticsRow:
    least = min(statistics.variance) + statistics.epsilon
    return StatisticsRow(
        layer=name,
        variances=tuple(sorted(statistics.variance)),
        epsilon=statistics.epsilon,
        gain=1 / math.sqrt(least) if least > 0 else math.inf,
        mean=max(map(abs, statistics.mean)),
    )


def norm_rows(report: ExportReport) -> tuple[NormRow, ...]:
    """Every layer, in the order of the census."""
    known = {} if report.axes is None else dict(_axes(report.axes))
    return tuple(
        NormRow(
            layer=layer,
            training=known.get(layer.name, (_UNKNOWN, _UNKNOWN))[0],
            evaluation=known.get(layer.name, (_UNKNOWN, _UNKNOWN))[1],
            part=_part_of(layer),
        )
        for layer in report.manifest.norms
    )


def _axes(axes: NetworkAxes) -> Iterator[tuple[str, tuple[str, str]]]:
    """In training and in eval mode, by the names that the census has."""
    for found in axes.layers:
        if found.train is not None and found.eval is not None:
            yield found.layer, (_said(found.train.axes), _said(found.eval.axes))
        for weight in found.weights:
            said = f"weight: {_said(weight.axes)}"
            yield f"{found.layer}.{weight.weight}".lstrip("."), (said, said)


def _said(axes: tuple[object, ...]) -> str:
    return ", ".join(map(str, axes)) or "none"


def _part_of(layer: NormLayer) -> float | None:
    if layer.error is None or layer.tolerance is None:
        return None
    if math.isnan(layer.error):
        return math.inf
    if layer.tolerance.atol:
        return layer.error / layer.tolerance.atol
    return 0.0 if layer.error == 0 else math.inf
