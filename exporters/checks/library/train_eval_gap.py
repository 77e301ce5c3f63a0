"""How far is training mode from eval mode, and does that shrink with the batch as it should?

Explained in ``docs/checks/train-eval-gap.md``. It never fails: the file has the eval mode.
"""

from functools import partial

from bundle import Finding, Tolerance
from exporters.checks.subject import TorchSubject
from exporters.checks.words import counted, finding
from exporters.errors import ExportError
from exporters.statistics import SIZES, TrainEvalGap

__all__ = ["NAME", "check"]

NAME = "train-eval-gap"

_finding = partial(finding, NAME)

_SPAN = 4
"""The largest batch must be this many times the smallest for a tendency to be read off."""

_SLOW = 0.25
"""The decay of sampling noise is 1/2, that of a gap that stays is 0; this is half way."""

_LARGE = 0.25
"""Of the size of the outputs. What augmentation moves running statistics by stays below it (the
zoo's resnet, trained on distorted digits, keeps a fifth)."""


def check(subject: TorchSubject) -> Finding | tuple[Finding, ...]:
    """Measure the gap on real inputs, or on the example where there are none.

    Where the statistics were recalibrated, a second finding has the gap before and after.
    """
    found = _judge(subject)
    before = subject.gap_before
    if before is None or not before.sizes or not subject.gap.sizes:
        return found
    was, now = before.sizes[-1], subject.gap.sizes[-1]
    return found, _finding(
        "pass" if now.distance <= was.distance else "warn",
        f"batch norm statistics were estimated anew from {subject.gap.rows} rows: in batches of"
        f" {now.size} the modes differed by {was.distance:.2g} of the outputs, and by"
        f" {now.distance:.2g} afterwards",
        "" if now.distance <= was.distance else "give more, and more typical, reference inputs",
        measured=now.distance,
    )


def _judge(subject: TorchSubject) -> Finding:
    try:
        gap = subject.gap
    except ExportError as err:
        return _finding("not_applicable", f"the modes could not be compared: {err}")
    if not gap.sizes:
        return _finding(
            "not_applicable",
            f"{gap.rows} rows of real inputs can share a batch; it takes {SIZES[0]} (give more in"
            " reference_inputs)",
        )
    tried = ", ".join(str(size.size) for size in gap.sizes)
    if not gap.differs:
        return _finding(
            "not_applicable",
            "training mode is eval mode, bit for bit, in the outputs and in each of"
            f" {counted(len(gap.layers), 'normalization layer')} of data (batches of {tried})",
            measured=0.0,
        )
    if not subject.references:
        return _finding(
            "not_applicable",
            "the modes differ; by how much on real inputs, only those can say (give"
            " reference_inputs)",
        )
    return _judge_sampling(gap) if gap.agreements else _judge_other(gap)


def _judge_other(gap: TrainEvalGap) -> Finding:
    """A difference that is no matter of sampling: no layer has running statistics."""
    worst = max(size.distance for size in gap.sizes)
    return _finding(
        "warn" if worst > _LARGE else "pass",
        f"training mode differs from eval mode by {worst:.2g} of the outputs, though no layer has"
        " running statistics",
        "look at what the normalizations do in training mode; spectral norm iterates there: let it"
        " converge"
        if worst > _LARGE
        else "",
        measured=worst,
        tolerance=Tolerance(atol=_LARGE, rtol=0, source="of the outputs' size"),
    )


def _metric(gap: TrainEvalGap) -> str:
    """What the gap does to the metric, if there is one."""
    if gap.metric_in_eval is None:
        return ""
    judged = ", ".join(
        f"{size.metric:.3g} in batches of {size.size}"
        for size in (gap.sizes[0], gap.sizes[-1])
        if size.metric is not None
    )
    return f" ({gap.metric_name}: {gap.metric_in_eval:.3g} in eval mode, {judged})"


def _judge_sampling(gap: TrainEvalGap) -> Finding:
    smallest, largest = gap.sizes[0], gap.sizes[-1]
    if largest.distance == float("inf"):
        return _finding(
            "warn",
            f"training mode gives outputs in batches of {largest.size} that are not finite where"
            " those of eval mode are, or have another shape",
            "look at the running statistics and at what the normalizations do in training mode",
            measured=largest.distance,
        )
    meaning = f"training mode differs from eval mode by {smallest.distance:.2g} of the outputs"
    meaning += f" in batches of {smallest.size}"
    if largest is not smallest:
        meaning += f" and by {largest.distance:.2g} in batches of {largest.size}"
    meaning += _metric(gap)
    off = [found.layer for found in gap.agreements if found.is_known and not found.agrees]
    stays = (
        gap.decay is not None
        and gap.decay < _SLOW
        and largest.size >= _SPAN * smallest.size
        and largest.distance > _LARGE
    )
    if off:
        return _finding(
            "warn",
            f"{meaning}; running statistics are off by more than sampling explains in {len(off)}"
            f" of {len(gap.agreements)} layers, '{off[0]}' first",
            "see running-statistics",
            measured=largest.distance,
        )
    if stays:
        return _finding(
            "warn",
            f"{meaning}: it does not shrink as sampling noise does, but with the power"
            f" {gap.decay:.2g} of the batch size instead of 0.5",
            "find the layers whose own gap stays (exporters.statistics.measure_gap): instance norms"
            " with running statistics, running statistics of other data",
            measured=largest.distance,
            tolerance=Tolerance(
                atol=_LARGE, rtol=0, source="of the outputs' size, where the gap does not shrink"
            ),
        )
    return _finding("pass", f"{meaning}, as sampling explains", measured=largest.distance)
