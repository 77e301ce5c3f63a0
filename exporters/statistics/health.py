"""What running statistics show of themselves to be wrong, without any data. Runs no model.

What data shows is `exporters.statistics.agreement`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch

from exporters.statistics.tracked import Tracked

__all__ = ["GAIN", "INITIAL_LEFT", "WINDOW", "Kind", "Problem", "problems_of"]

GAIN = 100.0
"""1/√(σ² + ε) of a channel that counts as amplifying, where ε is the larger part: a hundredth of
the unit that activations have then comes out as a whole one."""

WINDOW = 5.0
"""Batches. An exponential average with momentum m has the variance of one over (2 - m)/m batches;
torch's default of 0.1 makes that 19."""

INITIAL_LEFT = 0.1
"""Part of a running statistic that may still be the initial 0 or 1: (1 - m)ᵗ after t batches."""

_NEGLIGIBLE = 1e-2
"""A channel whose |γ| is below this part of the layer's largest hardly reaches the output."""

_SHOWN = 3


class Kind(StrEnum):
    """What can be wrong."""

    INVALID = "not finite, or negative"
    UNTOUCHED = "never updated"
    BARELY_UPDATED = "updated too few times"
    AMPLIFYING = "variance below epsilon"
    CANCELLING = "mean much larger than deviation"
    FORGETFUL = "momentum that forgets"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a layer's running statistics.

    Attributes:
        kind: what it is.
        layer: its qualified name.
        channels: where; all of them where it is not one channel's.
        measured: the number that shows it, of the worst channel.
        detail: the same in words, with the channels.
    """

    kind: Kind
    layer: str
    channels: tuple[int, ...]
    measured: float
    detail: str


def problems_of(layer: Tracked) -> Iterator[Problem]:
    """Everything that is wrong with one layer; of numbers that are none, only that."""
    invalid = _invalid(layer)
    if invalid is not None:
        yield invalid
        return
    for look in (_updates, _amplifying, _cancelling, _momentum):
        found = look(layer)
        if found is not None:
            yield found


def _invalid(layer: Tracked) -> Problem | None:
    bad = ~(layer.mean.isfinite() & layer.variance.isfinite()) | (layer.variance < 0)
    if not bad.any():
        return None
    worst = int(bad.nonzero()[0])
    return _problem(
        Kind.INVALID,
        layer,
        bad,
        worst,
        float(layer.variance[worst]),
        f"mean {float(layer.mean[worst]):g} and variance {float(layer.variance[worst]):g}",
    )


def _updates(layer: Tracked) -> Problem | None:
    is_initial = bool((layer.mean == 0).all() and (layer.variance == 1).all())
    is_trained = bool((layer.scale != 1).any() or (layer.shift != 0).any())
    everywhere = torch.ones(len(layer.mean), dtype=torch.bool)
    if is_initial and (layer.is_learned or is_trained):
        beside = ", beside a scale and shift that were trained" if is_trained else ""
        said = f"mean 0 and variance 1, exactly{beside}"
        return _problem(Kind.UNTOUCHED, layer, everywhere, None, 0.0, said)
    if not layer.momentum or not layer.updates:  # 0: they were loaded, and are meant to stay
        return None
    left = (1 - layer.momentum) ** layer.updates
    if abs(left) <= INITIAL_LEFT:
        return None
    said = f"after {layer.updates} batches with momentum {layer.momentum:g}, {left:.0%} is initial"
    return _problem(Kind.BARELY_UPDATED, layer, everywhere, None, left, said)


def _amplifying(layer: Tracked) -> Problem | None:
    gains = 1 / layer.deviation
    bad = (layer.variance < layer.epsilon) & (gains >= GAIN) & _reaches_output(layer)
    if not bad.any():
        return None
    worst = int(torch.where(bad, gains, -torch.inf).argmax())
    variance, gain = float(layer.variance[worst]), float(gains[worst])
    said = f"variance {variance:.3g} beside ε = {layer.epsilon:g} multiplies by {gain:.3g}"
    return _problem(Kind.AMPLIFYING, layer, bad, worst, gain, said)


def _cancelling(layer: Tracked) -> Problem | None:
    """|μ|/√(σ² + ε) is what rounding errors of the input grow by, in parts of the output's unit."""
    condition = layer.mean.abs() / layer.deviation
    bad = (condition > layer.resolution**-0.5) & _reaches_output(layer)
    if not bad.any():
        return None
    worst = int(torch.where(bad, condition, -torch.inf).argmax())
    said = (
        f"mean {float(layer.mean[worst]):.3g} is {float(condition[worst]):.3g} times the deviation"
    )
    return _problem(Kind.CANCELLING, layer, bad, worst, float(condition[worst]), said)


def _momentum(layer: Tracked) -> Problem | None:
    # None: cumulative, or not torch's; 0: a statistic that is meant to stay; no updates: it came
    # from elsewhere, and no momentum was ever applied here
    if not layer.momentum or layer.updates == 0:
        return None
    window = (2 - layer.momentum) / layer.momentum
    if window >= WINDOW:
        return None
    everywhere = torch.ones(len(layer.mean), dtype=torch.bool)
    said = f"momentum {layer.momentum:g} remembers {max(window, 0):.2g} batches"
    return _problem(Kind.FORGETFUL, layer, everywhere, None, window, said)


def _reaches_output(layer: Tracked) -> torch.Tensor:
    scale = layer.scale.abs()
    return scale >= _NEGLIGIBLE * scale.max()


def _problem(
    kind: Kind,
    layer: Tracked,
    where: torch.Tensor,
    worst: int | None,
    measured: float,
    said: str,
) -> Problem:
    channels = tuple(where.nonzero().flatten().tolist())
    name = f"'{layer.name}'" if layer.name else "the model itself"
    detail = f"{name} ({layer.kind}): {said}"
    if worst is not None:
        shown = ", ".join(map(str, channels[:_SHOWN]))
        more = ", …" if len(channels) > _SHOWN else ""
        detail += (
            f" in channel {worst} ({len(channels)} of {len(where)} channels: {shown}{more})"
            if len(channels) > 1
            else f" in channel {worst} (1 of {len(where)} channels)"
        )
    return Problem(kind, layer.name, channels, measured, detail)
