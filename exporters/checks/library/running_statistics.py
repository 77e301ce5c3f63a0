"""Are the running statistics sound, and do they agree with real inputs?

Explained in ``docs/checks/running-statistics.md``.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import exp

from bundle import Finding, Tolerance
from exporters.checks.subject import TorchSubject
from exporters.checks.words import counted, finding
from exporters.errors import ExportError
from exporters.statistics import (
    Agreement,
    Kind,
    Problem,
    Rows,
    measure_agreement,
    problems_of,
    tracked_layers,
)
from exporters.statistics.agreement import LEAST_ROWS, NOISE_MULTIPLE
from exporters.statistics.health import GAIN, INITIAL_LEFT, WINDOW

__all__ = ["NAME", "check"]

NAME = "running-statistics"

_finding = partial(finding, NAME)

_NAMED = 3
_ANEW = "estimate them anew from calibration data (exporters.statistics.recalibrate)"
_REMEDIES: Mapping[Kind, str] = {
    Kind.INVALID: _ANEW + ", or load a sound checkpoint",
    Kind.UNTOUCHED: "load the checkpoint's buffers too, not its parameters alone, or " + _ANEW,
    Kind.BARELY_UPDATED: "train longer in training mode, or " + _ANEW,
    Kind.AMPLIFYING: "look at why their input hardly varied in training: prune these channels, or"
    " give the layer a larger epsilon and train on",
    Kind.CANCELLING: "take the mean out before the layer (a bias of the layer before it, inputs"
    " that are centred), or compute it in a wider type",
    Kind.FORGETFUL: "lower the momentum to 0.1 or less and train on, or " + _ANEW,
}
_LIMITS: Mapping[Kind, tuple[float, str]] = {
    Kind.BARELY_UPDATED: (
        INITIAL_LEFT,
        "part of the statistic that may still be its initial value",
    ),
    Kind.AMPLIFYING: (GAIN, "1/√(σ² + ε), where ε is larger than σ²"),
    Kind.FORGETFUL: (WINDOW, "batches that the average remembers, at least"),
}
_FROM_TRAINING = frozenset({Kind.BARELY_UPDATED, Kind.FORGETFUL})
"""Doubts about how statistics came about, which real inputs that agree with them settle."""


def check(subject: TorchSubject) -> tuple[Finding, ...]:
    """Everything that is wrong, a finding for each kind; one that says so where nothing is."""
    layers = tuple(tracked_layers(subject.source.model))
    if not layers:
        return (_finding("not_applicable", "no layer has running statistics"),)
    agreements, unknown = _agreements(subject)
    settled = {found.layer for found in agreements if found.agrees}
    problems = [
        problem
        for layer in layers
        for problem in problems_of(layer)
        if not (problem.kind in _FROM_TRAINING and problem.layer in settled)
    ]
    found = (*_of_problems(problems), *_of_disagreement(agreements))
    return found or (_sound(len(layers), agreements, unknown),)


def _agreements(subject: TorchSubject) -> tuple[tuple[Agreement, ...], str]:
    """Those that can be judged, and where there are none, why."""
    if not subject.references:
        return (), "there are no real inputs to compare them with (give reference_inputs)"
    source = subject.source
    rows = Rows.of_tensors(source.call, subject.references, source.dimensions)
    try:
        measured = measure_agreement(source.model, rows)
    except ExportError as err:
        return (), f"they could not be compared with real inputs: {err}"
    known = tuple(found for found in measured if found.is_known)
    most = max((found.rows for found in measured), default=0)
    return known, f"{most} rows of real inputs are too few to compare them with ({LEAST_ROWS})"


def _of_problems(problems: Sequence[Problem]) -> Iterator[Finding]:
    for kind in Kind:
        found = [problem for problem in problems if problem.kind is kind]
        if not found:
            continue
        limit = _LIMITS.get(kind)
        worst = min if kind is Kind.FORGETFUL else max
        yield _finding(
            "fail" if kind is Kind.INVALID else "warn",
            f"running statistics {kind} in {counted(len(found), 'layer')}: "
            + _listed([problem.detail for problem in found]),
            _REMEDIES[kind],
            measured=worst(problem.measured for problem in found),
            tolerance=None if limit is None else Tolerance(atol=limit[0], rtol=0, source=limit[1]),
        )


def _of_disagreement(agreements: Sequence[Agreement]) -> Iterator[Finding]:
    off = sorted((a for a in agreements if not a.agrees), key=lambda a: a.excess, reverse=True)
    if off:
        yield _finding(
            "warn",
            f"running statistics are not those of the real inputs in {counted(len(off), 'layer')}: "
            + _listed([_said(found) for found in off]),
            "look at whether the real inputs are preprocessed as in training; if they are, "
            + _ANEW,
            measured=off[0].excess,
            tolerance=_EXCESS,
        )


def _sound(count: int, agreements: Sequence[Agreement], unknown: str) -> Finding:
    meaning = f"the running statistics of {counted(count, 'layer')} are sound"
    if not agreements:
        return _finding("pass", f"{meaning}; {unknown}")
    worst = max(agreements, key=lambda found: found.excess)
    return _finding(
        "pass",
        f"{meaning} and agree with the real inputs; furthest off is {_said(worst)}",
        measured=worst.excess,
        tolerance=_EXCESS,
    )


_EXCESS = Tolerance(
    atol=1,
    rtol=0,
    source="parts of what is allowed: half a running standard deviation (root mean square over"
    f" channels), three times or a third of the variance, and {NOISE_MULTIPLE:g} sampling errors",
)


def _said(found: Agreement) -> str:
    return (
        f"'{found.layer}' ({found.kind}): means off by {found.mean_distance:.2g} running deviations"
        f" (sampling explains {found.mean_noise:.2g}), most in channel {found.worst_channel};"
        f" variances by a factor of {exp(found.variance_distance):.3g} (sampling explains"
        f" {exp(found.variance_noise):.3g}); {found.rows} rows"
    )


def _listed(details: Sequence[str]) -> str:
    more = f"; and {len(details) - _NAMED} more" if len(details) > _NAMED else ""
    return "; ".join(details[:_NAMED]) + more
