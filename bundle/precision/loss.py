"""The check ``precision-loss``: is a narrower file as near to float64 as was asked for?

Explained in ``docs/checks/precision-loss.md``. Not for: whether rounding explains what is lost
(`bundle.precision.parity`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bundle.checks.parity import worst_of
from bundle.comparison import Tolerance, compare
from bundle.manifest import Finding
from bundle.precision.kinds import Precision
from bundle.tensors import Datatype

__all__ = ["MAX_LOSS", "NAME", "loss_finding", "loss_tolerances", "relative_loss"]

NAME = "precision-loss"

MAX_LOSS = {Precision.FP16: 0.01, Precision.BF16: 0.05, Precision.INT8: 0.05}
"""Where nothing else is asked for, as part of each output's largest value."""

Answers = Sequence[Mapping[str, np.ndarray]]
"""Outputs by name, one mapping an input."""


def loss_tolerances(
    expected: Answers, precision: Precision, max_loss: float
) -> dict[str, Tolerance]:
    """How far each float output may be off.

    Args:
        expected: in float64; integers as they are.
        precision: of the file.
        max_loss: as part of the largest value.
    """
    tolerances = {}
    for name, first in expected[0].items():
        if Datatype.from_numpy(first.dtype).is_float:
            scale = max(_scale(answer[name]) for answer in expected)
            tolerances[name] = Tolerance(
                atol=max_loss * scale,
                rtol=0.0,
                source=f"stated, not derived: {precision} may lose {max_loss:g} of the largest"
                f" value ({scale:.3g})",
            )
    return tolerances


def loss_finding(
    expected: Answers, got: Answers, tolerances: Mapping[str, Tolerance], how: str
) -> Finding:
    """Compare the narrower file with float64 on every input.

    Args:
        expected: in float64.
        got: what the file gives.
        tolerances: as `loss_tolerances` gives them.
        how: what was compared, in words.
    """
    comparisons = [
        comparison
        for wanted, answer in zip(expected, got, strict=True)
        for comparison in compare(wanted, answer, tolerances)
    ]
    worst = worst_of(comparisons)
    loss = relative_loss(expected, got)
    said = "an output that is no float differs" if loss is None else f"{loss:.2g}"
    return Finding(
        check=NAME,
        status="pass" if worst.passed else "fail",
        measured=worst.max_abs_error,
        tolerance=worst.tolerance,
        meaning=f"{how}: the largest loss is {said} of an output's largest value"
        + ("" if worst.passed else f"; {worst.reason}"),
        remedy=""
        if worst.passed
        else "calibrate on more and more typical inputs, choose a wider precision, or say what the"
        " task can bear with max_loss (--max-loss)",
    )


def relative_loss(expected: Answers, got: Answers) -> float | None:
    """The largest difference of any float output as part of that output's largest value.

    Returns:
        None where an output of another type differs, infinity where a value is not finite.
    """
    worst = 0.0
    for name, first in expected[0].items():
        if not Datatype.from_numpy(first.dtype).is_float:
            if not all(
                np.array_equal(a[name], b[name]) for a, b in zip(expected, got, strict=True)
            ):
                return None
            continue
        scale = max(_scale(answer[name]) for answer in expected) or 1.0
        for wanted, answer in zip(expected, got, strict=True):
            worst = max(worst, _error(wanted[name], answer[name]) / scale)
    return worst


def _error(expected: np.ndarray, got: np.ndarray) -> float:
    """The largest difference; infinite where one is not finite and the other is not the same."""
    differs = expected != got
    if not np.isfinite(expected[differs]).all() or not np.isfinite(got[differs]).all():
        return np.inf
    errors = np.abs(expected[differs] - got[differs].astype(np.float64))
    return float(np.max(errors, initial=0.0))


def _scale(array: np.ndarray) -> float:
    values = np.abs(array.astype(np.float64))
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))
