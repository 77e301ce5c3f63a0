"""The same inputs through two ways of running a model. Not for: deciding what a tolerance is."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bundle.checks.rows import synthetic_feeds
from bundle.checks.subject import Feeds, Subject
from bundle.comparison import OutputComparison, Tolerance, compare
from bundle.manifest import Finding
from bundle.opener import OpenModel

__all__ = ["EXACTLY", "feeds_of", "finding", "parity", "worst_of"]

EXACTLY = Tolerance(atol=0.0, rtol=0.0, source="the same bits")

_MOST = 4
_ROWS = 2

Run = Callable[[Feeds], Mapping[str, np.ndarray]]


def feeds_of(subject: Subject, opened: OpenModel) -> tuple[Feeds, ...]:
    """A few inputs: real ones, else random ones within the declared shapes.

    Raises:
        InputInvalid: there are no samples, and no input was found that the model can compute.
    """
    return subject.inputs[:_MOST] or (synthetic_feeds(subject, opened, rows=_ROWS),)


def parity(
    one: Run, other: Run, feeds: Sequence[Feeds], tolerances: Mapping[str, Tolerance]
) -> tuple[OutputComparison, ...]:
    """Compare every output of every input.

    Args:
        one: gives what is expected.
        other: gives what is compared with it.
        feeds: the inputs.
        tolerances: for each float output.

    Raises:
        InputInvalid: the model cannot compute an input.
        RunFailed: it failed for another reason.
    """
    return tuple(
        comparison for feed in feeds for comparison in compare(one(feed), other(feed), tolerances)
    )


def worst_of(comparisons: Sequence[OutputComparison]) -> OutputComparison:
    """The one that failed most, or came nearest to it."""
    return max(
        comparisons,
        key=lambda c: (not c.passed, np.inf if c.max_abs_error is None else c.max_abs_error),
    )


def finding(
    name: str, comparisons: Sequence[OutputComparison], *, passed: str, failed: str, remedy: str
) -> Finding:
    """One finding of many comparisons: the worst counts."""
    worst = worst_of(comparisons)
    return Finding(
        check=name,
        status="pass" if worst.passed else "fail",
        measured=worst.max_abs_error,
        tolerance=worst.tolerance,
        meaning=passed if worst.passed else f"{failed}: {worst.reason}",
        remedy="" if worst.passed else remedy,
    )
