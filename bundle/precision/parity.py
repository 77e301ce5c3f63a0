"""The check ``precision-parity``, where it is asked for: what a model loses in fp16, bf16 or int8.

Explained in ``docs/checks/precision-parity.md``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from bundle.checks.parity import feeds_of
from bundle.checks.subject import Feeds, Subject
from bundle.comparison import OutputComparison, compare
from bundle.errors import ModelInvalid
from bundle.manifest import Finding
from bundle.opener import open_model
from bundle.precision.float64 import Float64Model
from bundle.precision.kinds import Precision
from bundle.precision.tolerance import coarsest, explained, precision_tolerance
from bundle.precision.variant import make_variant
from bundle.providers import CPU
from bundle.tensors import Datatype

__all__ = ["NAME", "precision_finding", "variant_findings"]

NAME = "precision-parity"

_COARSE = 0.1
"""An error beyond this part of the largest value is too coarse for most uses, explained or not."""
_CLASSES_LAST = (2, 3)
"""Ranks whose last axis holds the classes; images have them on axis 1."""

Answers = Sequence[Mapping[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class _Baseline:
    """The float32 model: its answers in float64 and in float32, one mapping an input."""

    wide: Answers
    single: Answers

    @property
    def floats(self) -> list[str]:
        """The float outputs."""
        first = self.single[0]
        return [name for name in first if Datatype.from_numpy(first[name].dtype).is_float]


def precision_finding(subject: Subject, precision: Precision) -> tuple[Finding, ...]:
    """Convert a float32 model and measure what it loses.

    Args:
        subject: the model; its samples are the calibration and what is compared on. Without
            samples, random inputs within its declared shapes are.
        precision: to convert to.

    Returns:
        A finding on the values as the file declares them, for the 16-bit types, and one on the run
        on this machine's provider, which is not applicable where that has no kernels. One that is
        not applicable where the model cannot be converted.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    model = subject.proto()
    already = coarsest(model)
    if already is not None:
        return (_not_applicable(precision, f"the model computes in {already} already"),)
    feeds = feeds_of(subject, subject.open())
    try:
        converted = make_variant(model, precision, feeds)
    except ModelInvalid as err:
        return (_not_applicable(precision, f"it cannot be converted: {err}"),)
    kept = Counter(node.operator.op_type for node in converted.kept)
    said = ", ".join(f"{count} {op_type}" for op_type, count in kept.most_common())
    note = f"; in float32 stay {said}" if said else ""
    if not subject.inputs:
        note += "; on random inputs, as there are no samples"
    return variant_findings(subject, converted.model, precision, feeds=feeds, note=note)


def variant_findings(
    subject: Subject,
    converted: onnx.ModelProto,
    precision: Precision,
    *,
    feeds: Sequence[Feeds],
    note: str = "",
) -> tuple[Finding, ...]:
    """Compare any variant of a float32 model with it.

    Args:
        subject: the model in float32.
        converted: the same with other types inside, its inputs and outputs in float32.
        precision: of the variant.
        feeds: what to compare on.
        note: is added to what the findings say.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    opened, exact = subject.open(), Float64Model(subject.proto())
    baseline = _Baseline(
        wide=[exact.run(feed) for feed in feeds], single=[opened.run(feed) for feed in feeds]
    )
    if not baseline.floats:
        return (_not_applicable(precision, "the model has no float output"),)
    findings = []
    if precision is not Precision.INT8:
        rounded = Float64Model(converted, rounded=True)
        answers = [rounded.run(feed) for feed in feeds]
        how = f"{precision}, every value rounded to the type that the file declares"
        findings.append(_finding(precision, baseline, answers, f"{how}{note}"))
    try:
        running = open_model(converted, policy=subject.policy, threads=subject.threads)
    except ModelInvalid as err:
        findings.append(_not_applicable(precision, f"it cannot run here: {err}"))
        return tuple(findings)
    how = f"{precision} on {running.provider}"
    if precision is Precision.FP16 and running.provider == CPU:
        how += ", which computes most operators in float32"
    answers = [running.run(feed) for feed in feeds]
    findings.append(_finding(precision, baseline, answers, f"{how}{note}"))
    return tuple(findings)


def _finding(precision: Precision, baseline: _Baseline, answers: Answers, how: str) -> Finding:
    """The worst float output, against what rounding in the precision explains."""
    judged = [_judge(name, precision, baseline, answers) for name in baseline.floats]
    worst = max(judged, key=lambda each: each.rank)
    agreement = min(_agreement(name, baseline, answers) for name in baseline.floats)
    meaning = (
        f"{how}: output '{worst.comparison.name}' is {worst.relative:.2g} of its largest value away"
        f" from float64, rounding alone explains {worst.explained:.2g}; the largest element of a"
        f" row is the same in {agreement:.1%}"
    )
    status: Literal["pass", "warn", "fail"] = "pass"
    remedy = ""
    if not worst.comparison.passed:
        status = "fail"
        meaning += f"; {worst.comparison.reason}"
        remedy = (
            "more is lost than rounding: a value leaves the range, or a statistic is computed in"
            f" {precision}; normserve diagnose names the first layer, keep it in float32"
        )
    elif worst.relative > _COARSE:
        status = "warn"
        remedy = f"{precision} is too coarse for this network on these inputs; serve it in float32"
        if precision is Precision.INT8:
            remedy += ", or calibrate on more inputs"
    return Finding(
        check=NAME,
        status=status,
        measured=worst.comparison.max_abs_error,
        tolerance=worst.comparison.tolerance,
        meaning=meaning,
        remedy=remedy,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """One output over all inputs: the comparison, and errors as parts of its largest value."""

    comparison: OutputComparison
    relative: float
    explained: float

    @property
    def rank(self) -> tuple[bool, float]:
        """What failed first, then what is furthest away."""
        return not self.comparison.passed, self.relative


def _judge(name: str, precision: Precision, baseline: _Baseline, answers: Answers) -> _Judged:
    wide, single, got = (
        np.concatenate([answer[name].ravel() for answer in each])
        for each in (baseline.wide, baseline.single, answers)
    )
    tolerance = precision_tolerance(wide, single, precision)
    (comparison,) = compare({name: wide}, {name: got}, {name: tolerance})
    scale = float(np.max(np.abs(wide), initial=0.0, where=np.isfinite(wide))) or 1.0
    return _Judged(
        comparison,
        relative=(comparison.max_abs_error or 0.0) / scale,
        explained=explained(wide, single, precision) / scale,
    )


def _agreement(name: str, baseline: _Baseline, answers: Answers) -> float:
    """In how many rows the same element is the largest (the class, the next token)."""
    same: list[np.ndarray] = []
    for wide, got in zip(baseline.wide, answers, strict=True):
        expected = wide[name]
        if expected.ndim > 1 and expected.size:
            axis = -1 if expected.ndim in _CLASSES_LAST else 1
            same.append((expected.argmax(axis) == got[name].argmax(axis)).ravel())
    return float(np.concatenate(same).mean()) if same else 1.0


def _not_applicable(precision: Precision, reason: str) -> Finding:
    return Finding(
        check=NAME,
        status="not_applicable",
        measured=None,
        tolerance=None,
        meaning=f"{precision}: {reason.rstrip('.')}",
    )
