"""Counts by size, cheap enough for every request. Knows no metric.

prometheus_client's own histogram takes a lock and looks its labels up for each value; these are
written by one thread and read when somebody asks.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Buckets", "Histogram"]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram at one moment.

    Attributes:
        bounds: the largest value of each bucket but the last, ascending.
        counts: of values up to each bound, and of all: one more than bounds.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Values counted by the bucket that they fall into.

    Args:
        bounds: the largest value of each bucket, ascending; larger values have a bucket beyond.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total: float = 0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def buckets(self) -> Buckets:
        """The counts now."""
        return Buckets(self._bounds, tuple(accumulate(self._counts)), self._total)
