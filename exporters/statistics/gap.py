"""What a model computes in training mode against eval mode, as a function of the batch size.

Not for: whether that is too much (`exporters.checks`), or drawing it (`gap_plot`).

In training a batch norm works with the batch's own statistics, in eval mode with running ones. The
difference is sampling noise, which falls like 1/√size, and whatever the running statistics are off
by, which does not. Only normalization layers change their mode here: dropout stays off.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from bundle.document import Document
from exporters.calls import Example
from exporters.errors import RandomAtInference
from exporters.prepare import quiet_state
from exporters.statistics.agreement import Agreement, agreement_of, input_moments
from exporters.statistics.distance import largest_distance
from exporters.statistics.in_batches import InBatches
from exporters.statistics.layer_gap import LayerGap, LayerGaps
from exporters.statistics.rows import Rows
from exporters.statistics.tracked import tracked_layers
from exporters.statistics.twin import Twin

__all__ = [
    "SIZES",
    "GapProgress",
    "ModelMetric",
    "NamedMetric",
    "SizeGap",
    "TrainEvalGap",
    "measure_gap",
]

SIZES = (2, 4, 8, 16, 32, 64)
_SEED = 20_150_211
_ROWS_A_SIZE = 32
_MOST_DRAWS = 4

ModelMetric = Callable[[nn.Module], float]
"""Judges a model on data of its own."""


@dataclass(frozen=True, slots=True)
class NamedMetric:
    """A metric, and what it is called."""

    name: str
    judge: ModelMetric


class GapProgress(Protocol):
    """Told how far a measurement is."""

    def __call__(self, done: int, total: int, message: str, /) -> None:
        """``done`` of ``total`` batch sizes are measured; `message` says what comes next."""


class SizeGap(Document):
    """The gap at one batch size.

    Attributes:
        size: rows of a batch.
        draws: how many batches were drawn.
        distance: of the outputs in training mode from those in eval mode, relative to the size of
            the latter (`exporters.statistics.distance`), the largest over the outputs; the root
            mean square over the batches.
        lowest: of one batch.
        highest: of one batch.
        metric: of the model in training mode with batches of this size, where one was given.
    """

    size: int
    draws: int
    distance: float
    lowest: float
    highest: float
    metric: float | None = None


class TrainEvalGap(Document):
    """Training mode against eval mode.

    Attributes:
        rows: of calibration data that could share a batch; larger sizes were left out.
        seed: of the draws.
        sizes: the gap at each batch size, in ascending order.
        layers: every normalization layer that ran, in the model's order.
        agreements: running statistics against all calibration data, a layer each.
        metric_in_eval: of the model as it is served, where one was given.
        metric_name: what it is called.
    """

    rows: int
    seed: int
    sizes: tuple[SizeGap, ...]
    layers: tuple[LayerGap, ...]
    agreements: tuple[Agreement, ...]
    metric_in_eval: float | None = None
    metric_name: str = "metric"

    @property
    def differs(self) -> bool:
        """Whether any output, or any layer, differs between the modes."""
        return any(size.distance > 0 for size in self.sizes) or any(
            layer.differs for layer in self.layers
        )

    @property
    def decay(self) -> float | None:
        """The p of distance ∝ size⁻ᵖ, by least squares in logarithms: ½ for sampling noise alone.

        None where fewer than two sizes have a finite gap above 0.
        """
        points = [
            (math.log(size.size), math.log(size.distance))
            for size in self.sizes
            if 0 < size.distance < math.inf
        ]
        if len(points) < 2:
            return None
        x_mean = sum(x for x, _ in points) / len(points)
        y_mean = sum(y for _, y in points) / len(points)
        slope = sum((x - x_mean) * (y - y_mean) for x, y in points)
        return -slope / sum((x - x_mean) ** 2 for x, _ in points)


def measure_gap(
    model: nn.Module,
    calls: Sequence[Example] | Rows,
    *,
    sizes: Sequence[int] = SIZES,
    metric: ModelMetric | None = None,
    metric_name: str = "metric",
    seed: int = _SEED,
    progress: GapProgress | None = None,
) -> TrainEvalGap:
    """Measure how far training mode is from eval mode on calibration data.

    Args:
        model: stays as it is; copies are run.
        calls: real inputs, whose rows are drawn without repetition, or the rows of them.
        sizes: of the batches; those of which there are too few rows are left out.
        metric: is given a copy in eval mode and, for each size, one that answers in training mode
            in batches of that size, whatever the metric sends it.
        metric_name: what it is called.
        seed: of the draws.
        progress: is told of each size.

    Returns:
        Sizes and layers; no sizes where fewer rows than the smallest can share a batch.

    Raises:
        InputsInvalid: the calls do not fit the model, or it cannot run on them in training mode.
        RandomAtInference: eval mode gives another answer each time.
        OutputsInvalid: a metric is wanted and an output's axis 0 does not count rows.
        ModelNotCopyable: it cannot be copied.
    """
    with quiet_state():
        rows = calls if isinstance(calls, Rows) else Rows.of(model, calls)
        twin = Twin(model, rows.call)
        tracked = {layer.name: layer for layer in tracked_layers(twin.model)}
        moments = input_moments(twin, tuple(tracked.values()), rows)
        possible = [size for size in sorted(set(sizes)) if size <= rows.most]
        layers = LayerGaps(twin, tracked, moments)
        if twin.is_random(rows.calls[0]):
            raise RandomAtInference(
                f"{type(model).__name__} gives another answer each time in eval mode; there is no"
                " gap to be measured between random answers.",
                layers=(),
            )
        generator = torch.Generator().manual_seed(seed)
        measured = []
        for done, size in enumerate(possible):
            if progress is not None:
                progress(done, len(possible), f"batches of {size}")
            gap = _at(size, twin, rows, layers, generator)
            judged = None if metric is None else _metric_in_training(metric, twin, size)
            measured.append(gap.model_copy(update={"metric": judged}))
        if progress is not None:
            progress(len(possible), len(possible), "")
        return TrainEvalGap(
            rows=rows.most,
            seed=seed,
            sizes=tuple(measured),
            layers=layers.result(possible),
            agreements=tuple(agreement_of(tracked[name], m) for name, m in moments.items()),
            metric_in_eval=None if metric is None else metric(twin.model),
            metric_name=metric_name,
        )


def _at(
    size: int, twin: Twin, rows: Rows, layers: LayerGaps, generator: torch.Generator
) -> SizeGap:
    different = rows.most - size + 1  # all rows can be drawn in one way only
    draws = min(max(_ROWS_A_SIZE // size, 1), _MOST_DRAWS, different)
    distances = []
    for _ in range(draws):
        batch = rows.draw(size, generator)
        with twin.watched(layers.see):
            in_eval = twin.run(batch)
        with twin.training():
            distances.append(largest_distance(twin.run(batch), in_eval))
        layers.finish_batch(size)
    return SizeGap(
        size=size,
        draws=draws,
        distance=math.sqrt(sum(d * d for d in distances) / draws),
        lowest=min(distances),
        highest=max(distances),
    )


def _metric_in_training(metric: ModelMetric, twin: Twin, size: int) -> float:
    with twin.training():
        return metric(InBatches(twin.model, size))
