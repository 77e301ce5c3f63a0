"""Compute a request a second time, alone and on the reference. Runs in a helper process.

Two questions are kept apart: does an answer depend on what else was in its batch (`Against.SOLO`),
and does the provider that serves compute what the reference computes (`Against.REFERENCE`)?
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bundle import Datatype, OpenModel, OutputComparison, compare
from service.consistency.live import Against, Difference
from service.consistency.report import Yardstick
from service.consistency.source import Source

__all__ = ["Forget", "Part", "Rerun"]

_KEPT_OPEN = 4
"""Versions whose sessions are kept; each holds the weights twice."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Part:
    """What is run in one go, and what was answered to it."""

    inputs: Arrays
    answer: Arrays

    def row(self, number: int) -> "Part":
        """One row of it."""
        rows = slice(number, number + 1)
        return Part(
            {name: array[rows] for name, array in self.inputs.items()},
            {name: array[rows] for name, array in self.answer.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """Find out how far an answer is from what it should be.

    Attributes:
        source: the version that answered.
        yardstick: how far it may be.
        parts: each is run alone.
    """

    source: Source
    yardstick: Yardstick
    parts: tuple[Part, ...]

    def __call__(self) -> tuple[Difference, ...]:
        """The worst difference of each output in each comparison.

        Raises:
            BundleError: it cannot be computed a second time.
        """
        served, reference = _sessions(self.source)
        found: dict[tuple[str, Against], Difference] = {}
        for part in self.parts:
            alone = served.run(part.inputs, list(part.answer))
            plain = reference.run(part.inputs, list(part.answer))
            pairs = ((Against.SOLO, alone, part.answer), (Against.REFERENCE, plain, alone))
            for against, expected, actual in pairs:
                for comparison in compare(expected, actual, self.yardstick.of(expected)):
                    difference = _difference(comparison, expected, against)
                    key = (difference.output, against)
                    if key not in found or difference.badness > found[key].badness:
                        found[key] = difference
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Forget:
    """Close the sessions of a version that answers no more."""

    source: Source

    def __call__(self) -> None:
        """Close them; a version that has none is none the worse."""
        _OPEN.pop(self.source, None)


_OPEN: dict[Source, tuple[OpenModel, OpenModel]] = {}
"""The sessions of this process, those last used at the end."""


def _sessions(source: Source) -> tuple[OpenModel, OpenModel]:
    sessions = _OPEN.pop(source, None)
    if sessions is None:
        sessions = source.open(reference=False), source.open(reference=True)
        while len(_OPEN) >= _KEPT_OPEN:
            del _OPEN[next(iter(_OPEN))]
    _OPEN[source] = sessions
    return sessions


def _difference(comparison: OutputComparison, expected: Arrays, against: Against) -> Difference:
    error = comparison.max_abs_error
    if error is None or (not comparison.passed and _is_not_finite(comparison, expected)):
        error = math.inf
    return Difference(
        output=comparison.name,
        against=against,
        error=error,
        tolerance=comparison.tolerance.atol,
        reason=comparison.reason,
    )


def _is_not_finite(comparison: OutputComparison, expected: Arrays) -> bool:
    """Whether the worst element is NaN or infinite on one side: then there is no difference."""
    if not Datatype.from_numpy(expected[comparison.name].dtype).is_float:
        return False
    return not (
        math.isfinite(float(comparison.expected)) and math.isfinite(float(comparison.actual))
    )
