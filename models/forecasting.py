"""Forecasting a year of carbon dioxide: the data, the loss and the judgement of both LSTMs."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from models.data.batches import cut, positions
from models.data.series import HORIZON, LICENCE, SOURCE, SPLIT, YEAR, windows
from models.data.split import Split
from models.metrics import gather, mean_absolute_error
from models.recipe import Batch
from models.scene import Arrays, Metric, Notes, Run, TestSet

MONTHS = 36
"""The months of history of a held-out item."""
PPM_SCALE = 4.0
"""Networks see ppm in this unit, relative to the last month; a year swings by about 6 ppm."""
JITTER_PPM = 0.15
"""Noise on the training histories, about what a monthly mean is uncertain by."""
REQUEST_ITEMS = 20


def draw(count: int, generator: torch.Generator, *, months: int = MONTHS) -> Batch:
    """Draw noisy histories (count, months) and futures (count, 12) from the training split."""
    source = windows(Split.TRAIN, months=months)
    chosen = positions(count, len(source.future), generator)
    history = torch.from_numpy(source.history[chosen])
    noise = torch.randn(history.shape, generator=generator) * JITTER_PPM
    return history + noise, torch.from_numpy(source.future[chosen])


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The mean squared error in the networks' unit."""
    history, future = batch
    error: Tensor = (model(history) - future) / PPM_SCALE
    return error.square().mean()


def real(*, start: int, items: int, months: int = MONTHS) -> tuple[Tensor, ...]:
    """Histories (items, months) of the training split."""
    source = windows(Split.TRAIN, months=months)
    return (torch.from_numpy(source.history[start : start + items]),)


@cache
def held_out() -> TestSet:
    """All windows that lie in the held-out years."""
    source = windows(Split.TEST, months=MONTHS)
    return TestSet(cut(REQUEST_ITEMS, history=source.history), {"future": source.future})


def _error(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    return mean_absolute_error(gather(outputs, "forecast"), test_set.targets["future"])


METRIC = Metric(
    name="mean absolute error", higher_is_better=False, digits=3, unit="ppm", compute=_error
)


def _persistence(batch: Arrays) -> Arrays:
    return {"forecast": np.repeat(batch["history"][:, -1:], HORIZON, axis=1)}


def _last_year_moved(batch: Arrays) -> Arrays:
    history = batch["history"]
    drift = history[:, -1:] - history[:, -YEAR - 1 : -YEAR]
    return {"forecast": history[:, -YEAR:] + drift}


BASELINES: dict[str, Run] = {
    "persistence (the last month again)": _persistence,
    "the last twelve months again, moved by the growth of a year": _last_year_moved,
}


def notes(architecture: str) -> Notes:
    """What the cards of both LSTMs say."""
    return Notes(
        data=SOURCE,
        split=SPLIT,
        licence=LICENCE,
        use="Shows a recurrent network with real numbers in real units. It knows one place on "
        "Earth and the years up to 1989; not for climate research.",
        architecture=architecture,
    )
