"""How far two ways of running a coarse graph may be apart: other kernels round at other places.

In a graph that rounds to a coarse precision two right results of a node may lie on either side of a
step: ONNX Runtime scales integer sums in integers where its unoptimized graph does in float32, and
each rounds to the nearest step then. Not for: rows in batches, and runs of one session, which take
the same kernels.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bundle.checks.rounding import rounding_tolerances
from bundle.checks.subject import Feeds, Subject
from bundle.comparison import Tolerance
from bundle.precision.tolerance import FLOOR_STEPS, coarsest

__all__ = ["ways_tolerances"]


def ways_tolerances(
    subject: Subject, feeds: Sequence[Feeds], answers: Sequence[Feeds]
) -> Mapping[str, Tolerance]:
    """For each float output, how far two ways of running a model may be apart.

    Args:
        subject: where its manifest states what its precision may lose, each way may lose as much.
        feeds: what the model is tried with.
        answers: what it gave for each.

    Returns:
        Of rounding in float32; of a few steps more where the graph itself is coarser.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    tolerances = rounding_tolerances(subject, feeds, answers)
    if subject.manifest is not None and subject.manifest.conversion is not None:
        stated = subject.manifest.tolerances
        return {name: max(own, stated[name], key=_atol) for name, own in tolerances.items()}
    precision = coarsest(subject.proto())
    if precision is None:
        return tolerances
    return {
        name: tolerance.widened(
            FLOOR_STEPS * precision.epsilon * max(_scale(answer[name]) for answer in answers),
            f"{FLOOR_STEPS:g} steps of {precision} at the largest value, which the graph rounds to",
        )
        for name, tolerance in tolerances.items()
    }


def _atol(tolerance: Tolerance) -> float:
    return tolerance.atol


def _scale(array: np.ndarray) -> float:
    values = np.abs(array.astype(np.float64))
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))
