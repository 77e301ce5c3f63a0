"""How long a model takes for how many rows at once, and how many are therefore worth it.

Measured in the helper process once a certificate allows batches. Not for: whether they are allowed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from bundle.document import Document

__all__ = ["Pace", "measure", "rows_worth"]

_TRIES: Final = 5
_MORE: Final = 2
"""Sizes that are tried beyond the best one."""
_OVERHEAD_S: Final = 1e-4
"""What a run costs around the model: handing it over, and taking what it gave."""
_WORTH: Final = 1.05
"""How many times as quick a row must be in a batch as alone for batches to be formed."""
_NEARLY: Final = 0.97
"""Of the best throughput: the smallest batch that reaches it is large enough."""


class Pace(Document):
    """A size that was measured.

    Attributes:
        rows: of each run.
        seconds: that the quickest of some runs took.
    """

    rows: int
    seconds: float

    @property
    def rows_per_s(self) -> float:
        """Rows in a second, with what a run costs around the model."""
        return self.rows / (self.seconds + _OVERHEAD_S)


def measure(
    batch: Callable[[int], Callable[[], object] | None],
    *,
    most: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Pace, ...]:
    """Measure powers of two, as long as larger ones are quicker.

    Args:
        batch: for so many rows, what runs the model with them; None if they are not answered as
            they are alone: no larger batch is tried then.
        most: the largest size that may be run.
        clock: seconds, rising.
    """
    paces: list[Pace] = []
    rows = 1
    while rows <= most and not _is_past_best(paces) and (run := batch(rows)) is not None:
        took = []
        for _ in range(_TRIES):
            began = clock()
            run()
            took.append(clock() - began)
        paces.append(Pace(rows=rows, seconds=min(took)))
        rows *= 2
    return tuple(paces)


def _is_past_best(paces: Sequence[Pace]) -> bool:
    rates = [pace.rows_per_s for pace in paces]
    return len(rates) > _MORE and max(rates[-_MORE:]) < max(rates)


def rows_worth(paces: Sequence[Pace]) -> int:
    """How many rows at once make the most of the model: 1 where batches do not pay."""
    if not paces:
        return 1
    best = max(pace.rows_per_s for pace in paces)
    if best < _WORTH * paces[0].rows_per_s:
        return 1
    return next(pace.rows for pace in paces if pace.rows_per_s >= _NEARLY * best)
