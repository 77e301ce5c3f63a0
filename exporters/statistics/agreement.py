"""Do running statistics agree with calibration data? Not for: what else may be wrong with them.

Each layer with running statistics is compared with its own input in the network's eval mode, in the
unit that matters: what it divides by. A batch norm in eval mode is right if what leaves it, before
scale and shift, has mean 0 and variance 1 over the data that it is used on.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bundle.document import Document
from exporters.calls import Example
from exporters.prepare import quiet_state
from exporters.statistics.moments import Moments, RowMoments
from exporters.statistics.rows import Rows
from exporters.statistics.tracked import Tracked, tracked_layers
from exporters.statistics.twin import Twin

__all__ = [
    "LEAST_ROWS",
    "MEAN_ALLOWED",
    "NOISE_MULTIPLE",
    "VARIANCE_ALLOWED",
    "Agreement",
    "measure_agreement",
]

LEAST_ROWS = 8
"""With fewer, the spread between rows, and with it the sampling error, is not known well enough."""

MEAN_ALLOWED = 0.5
"""Running standard deviations. Augmentation, dropout and a last learning rate that is not zero move
statistics by some tenths; half a deviation moves one input in five over zero, which a ReLU sees."""

VARIANCE_ALLOWED = math.log(3)
"""As a logarithm: three times or a third of the variance. Augmentation alone may halve or double it
(the zoo's resnet, trained on distorted digits, is off by a factor of 1.7)."""

NOISE_MULTIPLE = 3.0
"""How many expected sampling errors are added to what is allowed."""


class Agreement(Document):
    """How far a layer's running statistics are from those of its input over calibration data.

    Attributes:
        layer: its qualified name.
        kind: its class.
        channels: how many it has.
        rows: of calibration data; what was folded into one row counts once.
        mean_distance: the root mean square over the channels of (m - μ)/√(σ² + ε).
        mean_noise: what that would be from sampling alone.
        variance_distance: the root mean square over the channels of ln((v + ε)/(σ² + ε)).
        variance_noise: what that would be from sampling alone.
        worst_channel: where the mean is furthest off.
        worst_mean: (m - μ)/√(σ² + ε) there.
        worst_ratio: (v + ε)/(σ² + ε) there.
    """

    layer: str
    kind: str
    channels: int
    rows: int
    mean_distance: float
    mean_noise: float
    variance_distance: float
    variance_noise: float
    worst_channel: int
    worst_mean: float
    worst_ratio: float

    @property
    def is_known(self) -> bool:
        """Whether there was enough data to judge."""
        return self.rows >= LEAST_ROWS

    @property
    def agrees(self) -> bool:
        """Whether both distances are within what is allowed and what sampling explains."""
        return (
            self.mean_distance <= MEAN_ALLOWED + NOISE_MULTIPLE * self.mean_noise
            and self.variance_distance <= VARIANCE_ALLOWED + NOISE_MULTIPLE * self.variance_noise
        )

    @property
    def excess(self) -> float:
        """How many times what is allowed the larger distance is."""
        return max(
            self.mean_distance / (MEAN_ALLOWED + NOISE_MULTIPLE * self.mean_noise),
            self.variance_distance / (VARIANCE_ALLOWED + NOISE_MULTIPLE * self.variance_noise),
        )


def measure_agreement(model: nn.Module, calls: Sequence[Example] | Rows) -> tuple[Agreement, ...]:
    """Compare running statistics with the layers' inputs over calibration data, in eval mode.

    Args:
        model: stays as it is.
        calls: real inputs, or the rows of them.

    Returns:
        One for each layer with running statistics that ran and whose channels were found.

    Raises:
        InputsInvalid: the calls do not fit the model.
        ModelNotCopyable: it cannot be copied.
    """
    with quiet_state():
        rows = calls if isinstance(calls, Rows) else Rows.of(model, calls)
        twin = Twin(model, rows.call)
        layers = {layer.name: layer for layer in tracked_layers(twin.model)}
        pooled = input_moments(twin, tuple(layers.values()), rows)
    return tuple(agreement_of(layers[name], moments) for name, moments in pooled.items())


def input_moments(twin: Twin, layers: Sequence[Tracked], rows: Rows) -> dict[str, Moments]:
    """The statistics of what goes into some layers in eval mode, over all calls."""
    collected = {
        layer.name: RowMoments(len(layer.mean), per_instance=layer.per_instance) for layer in layers
    }
    count = 0

    def see(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        x = next(iter((*args, *kwargs.values())), None)
        if name in collected and isinstance(x, torch.Tensor):
            collected[name].add(x, count)

    with twin.watched(see):
        for tensors in rows.calls:
            count = rows.count(tensors)
            twin.run(tensors)
    pooled = {name: moments.pooled() for name, moments in collected.items()}
    return {name: moments for name, moments in pooled.items() if moments is not None}


def agreement_of(layer: Tracked, moments: Moments) -> Agreement:
    """Put the statistics of a layer's input beside its running statistics."""
    means = (moments.mean - layer.mean) / layer.deviation
    ratios = (moments.variance + layer.epsilon) / layer.deviation.square()
    worst = int(means.abs().argmax())
    return Agreement(
        layer=layer.name,
        kind=layer.kind,
        channels=len(layer.mean),
        rows=moments.rows,
        mean_distance=_rms(means),
        mean_noise=_rms(moments.mean_error / layer.deviation),
        variance_distance=_rms(ratios.log()),
        variance_noise=_rms(moments.variance_error / (moments.variance + layer.epsilon)),
        worst_channel=worst,
        worst_mean=float(means[worst]),
        worst_ratio=float(ratios[worst]),
    )


def _rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())
