"""How large errors are in parts of what is allowed, counted by powers of two. Decides nothing.

A comparison (`bundle.compare`) keeps the worst element; this keeps the shape of all of them, in as
many numbers as there are bins, however many elements and runs there are.
"""

from collections.abc import Iterable

import numpy as np

from bundle import Tolerance
from bundle.document import Document

__all__ = ["HIGHEST_POWER", "LOWEST_POWER", "ErrorHistogram"]

LOWEST_POWER = -20
HIGHEST_POWER = 8
_BINS = HIGHEST_POWER - LOWEST_POWER
_AT_ONCE = 1 << 16
"""Elements that are looked at together: what is computed of them stays in the processor's cache."""


class ErrorHistogram(Document):
    """Errors of the elements of one output, over one run or several.

    Attributes:
        elements: how many there were.
        equal: how many had no error at all; the same non-finite value is none.
        counts: how many others had an error in (2ᵏ, 2ᵏ⁺¹] of what was allowed, for k from
            `LOWEST_POWER` to `HIGHEST_POWER` - 1. The first has all that is smaller too, the last
            all that is larger, and what has no error that could be told: a number where the other
            is not finite, another shape.
        largest: the largest error in parts of what was allowed; infinite where it cannot be told.
    """

    elements: int = 0
    equal: int = 0
    counts: tuple[int, ...] = (0,) * _BINS
    largest: float = 0.0

    @property
    def outside(self) -> int:
        """How many elements are off by more than was allowed."""
        return sum(self.counts[-LOWEST_POWER:])

    @classmethod
    def of(cls, expected: np.ndarray, actual: np.ndarray, tolerance: Tolerance) -> "ErrorHistogram":
        """Count the errors of one output of one run.

        Args:
            expected: what it should be.
            actual: what it is; of another shape, every element counts as infinitely far off.
            tolerance: what is allowed of each element.
        """
        if expected.shape != actual.shape:
            return cls._apart(max(expected.size, 1))
        wanted, got = expected.ravel(), actual.ravel()
        return cls.total(
            cls._of_some(wanted[start : start + _AT_ONCE], got[start : start + _AT_ONCE], tolerance)
            for start in range(0, wanted.size, _AT_ONCE)
        )

    @classmethod
    def total(cls, parts: Iterable["ErrorHistogram"]) -> "ErrorHistogram":
        """Several together."""
        parts = list(parts)
        return cls(
            elements=sum(part.elements for part in parts),
            equal=sum(part.equal for part in parts),
            counts=tuple(map(sum, zip(*(part.counts for part in parts), strict=True)))
            or (0,) * _BINS,
            largest=max((part.largest for part in parts), default=0.0),
        )

    @classmethod
    def _apart(cls, elements: int) -> "ErrorHistogram":
        counts = (0,) * (_BINS - 1) + (elements,)
        return cls(elements=elements, counts=counts, largest=float("inf"))

    @classmethod
    def _of_some(
        cls, expected: np.ndarray, actual: np.ndarray, tolerance: Tolerance
    ) -> "ErrorHistogram":
        error = _errors(expected, actual)
        differing = error > 0
        count = int(differing.sum())
        allowed = np.full(error.shape, tolerance.atol)
        if tolerance.rtol:
            allowed += tolerance.rtol * np.abs(expected.astype(np.float64))
        if count < error.size:
            error, allowed = error[differing], allowed[differing]
        with np.errstate(invalid="ignore", over="ignore"):
            room = np.where(error < np.inf, allowed / error, 0.0)
        # room = m·2ᵉ with m in [½, 1), so that the error is in (2⁻ᵉ, 2¹⁻ᵉ] of what is allowed
        power = np.where(room > 0, -np.frexp(room)[1], HIGHEST_POWER)
        place = np.clip(power, LOWEST_POWER, HIGHEST_POWER - 1) - LOWEST_POWER
        least = float(room.min(initial=np.inf))
        return cls(
            elements=expected.size,
            equal=expected.size - count,
            counts=tuple(np.bincount(place, minlength=_BINS).tolist()),
            largest=1 / least if least > 0 else float("inf"),
        )


def _errors(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Absolute errors in float64; infinite where they cannot be told, and of what is exact."""
    if expected.dtype.kind in "biu":
        return np.where(expected != actual, np.inf, 0.0)
    wanted, got = expected.astype(np.float64, copy=False), actual.astype(np.float64, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got - wanted)
    finite = np.isfinite(error)
    if finite.all():
        return error
    same = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
    return np.where(finite, error, np.where(same, 0.0, np.inf))
