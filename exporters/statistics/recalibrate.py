"""Estimate running statistics anew from calibration data, on a copy. Not for: judging the result.

What is right is decided by where they are used: in eval mode, a layer's input is what the layers
before it make of it *in eval mode*. So every pass runs the network in eval mode and sets each
layer's statistics to those of its input over all data. After the first pass the first layers are
exact and stay so; each pass makes at least the next ones exact; as many passes as layers follow on
one another end in a fixed point, which depends neither on where it began nor on how the data is cut
into batches.

The usual way, one pass in training mode with the batches' moments averaged (``update_bn`` of
Izmailov et al. 2018, https://arxiv.org/abs/1803.05407; precise batch norm of Wu & Johnson 2021,
https://arxiv.org/abs/2105.07576, section 3), takes the inputs of deep layers from batch statistics
instead. With small batches that is another distribution: ``docs/checks/train-eval-gap.md`` has the
numbers.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from bundle.document import Document
from exporters.calls import Example
from exporters.errors import InputsInvalid
from exporters.prepare import quiet_state
from exporters.statistics.agreement import LEAST_ROWS, input_moments
from exporters.statistics.gap import SIZES, GapProgress, ModelMetric, TrainEvalGap, measure_gap
from exporters.statistics.moments import Moments
from exporters.statistics.rows import Rows
from exporters.statistics.tracked import Tracked, tracked_layers
from exporters.statistics.twin import Twin

__all__ = ["Recalibration", "compare_recalibrated", "recalibrate"]

_STILL = 1e-3
"""A pass that moves no mean by more than this part of √(σ² + ε), and no variance by more than this
part of itself, is the last: as large are the sampling errors of a million rows."""


class Recalibration(Document):
    """What recalibration changed.

    Attributes:
        before: the gap between the modes of the model as it was.
        after: of the recalibrated one, on the same draws.
    """

    before: TrainEvalGap
    after: TrainEvalGap


def recalibrate(
    model: nn.Module,
    calls: Sequence[Example] | Rows,
    *,
    progress: GapProgress | None = None,
) -> nn.Module:
    """Re-estimate the running statistics of a model from calibration data.

    Exact over all elements: moments are pooled, batches' variances are not averaged. Layers that do
    not move their statistics in training (frozen batch norms) are left alone.

    Args:
        model: stays as it is.
        calls: real inputs, preprocessed as for inference and without augmentation; some hundred
            rows are better than the least, which is 8.
        progress: is told of each pass; there are at most as many as layers.

    Returns:
        A copy on the CPU, in eval mode and without gradients, ready to be exported.

    Raises:
        InputsInvalid: the calls do not fit the model or are too few, the model has no running
            statistics of its own, or a layer's input is not finite.
        ModelNotCopyable: it cannot be copied.
    """
    with quiet_state():
        rows = calls if isinstance(calls, Rows) else Rows.of(model, calls)
        twin = Twin(model, rows.call)
        most = sum(layer.is_learned for layer in tracked_layers(twin.model))
        if not most:
            raise InputsInvalid(
                f"{type(model).__name__} has no layer with running statistics that training moves;"
                " there is nothing to recalibrate."
            )
        for done in range(most):
            if progress is not None:
                progress(done, most, f"pass {done + 1}")
            layers = {layer.name: layer for layer in tracked_layers(twin.model) if layer.is_learned}
            moments = input_moments(twin, tuple(layers.values()), rows)
            _require_enough(moments)
            if max(_moves(layers, moments), default=0.0) <= _STILL:
                break
        _require_finite(layers, moments)
        if progress is not None:
            progress(most, most, "")
    return twin.model


def compare_recalibrated(
    model: nn.Module,
    recalibrated: nn.Module,
    calls: Sequence[Example],
    *,
    sizes: Sequence[int] = SIZES,
    metric: ModelMetric | None = None,
) -> Recalibration:
    """Measure the gap between the modes before and after a recalibration.

    Args:
        model: as it was.
        recalibrated: what `recalibrate` made of it.
        calls: as `exporters.statistics.measure_gap` takes them; best not those that it was
            recalibrated with.
        sizes: of the batches.
        metric: as there.

    Raises:
        InputsInvalid: the calls do not fit the model.
        ModelNotCopyable: it cannot be copied.
    """
    return Recalibration(
        before=measure_gap(model, calls, sizes=sizes, metric=metric),
        after=measure_gap(recalibrated, calls, sizes=sizes, metric=metric),
    )


def _moves(layers: Mapping[str, Tracked], moments: Mapping[str, Moments]) -> Iterator[float]:
    """Set every layer's statistics; yields how far each was moved."""
    for name, found in moments.items():
        layer = layers[name]
        if not (found.mean.isfinite().all() and found.variance.isfinite().all()):
            yield float("inf")  # the layers before it are not right yet: its turn comes
            continue
        means = (found.mean - layer.mean) / layer.deviation
        ratios = (found.variance + layer.epsilon) / layer.deviation.square()
        _put(layer.module, "running_mean", found.mean)
        _put(layer.module, "running_var", found.variance)
        yield float(torch.maximum(means.abs(), (ratios - 1).abs()).nan_to_num(torch.inf).max())


def _put(module: nn.Module, name: str, values: torch.Tensor) -> None:
    buffer = getattr(module, name)
    buffer.copy_(values.reshape(buffer.shape))


def _require_enough(moments: Mapping[str, Moments]) -> None:
    if not moments:
        raise InputsInvalid(
            "no layer with running statistics saw the calibration data, or none had an axis of as"
            " many channels as it has statistics."
        )
    for name, found in moments.items():
        if found.rows < LEAST_ROWS:
            raise InputsInvalid(
                f"layer '{name}' saw {found.rows} rows of calibration data; at least {LEAST_ROWS}"
                " are needed, and some hundred are better."
            )


def _require_finite(layers: Mapping[str, Tracked], moments: Mapping[str, Moments]) -> None:
    for name, found in moments.items():
        if not (found.mean.isfinite().all() and found.variance.isfinite().all()):
            raise InputsInvalid(
                f"the input of layer '{name}' ({layers[name].kind}) is not finite on the"
                " calibration data, so that it has no statistics."
            )
