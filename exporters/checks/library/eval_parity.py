"""Does the file compute what torch computes in eval mode?

Explained in ``docs/checks/eval-parity.md``.
"""

from typing import Literal

from bundle import Finding, OutputComparison
from exporters.checks.subject import TorchSubject

__all__ = ["NAME", "check"]

NAME = "eval-parity"

_VACUOUS = 1e-2
"""A tolerance beyond this part of the largest value proves little."""


def check(subject: TorchSubject) -> tuple[Finding, ...]:
    """One finding for each output: its worst comparison over all sizes, inputs and settings."""
    names = subject.source.eager.names
    return tuple(_finding(subject, subject.proof.worst(name)) for name in names)


def _finding(subject: TorchSubject, worst: OutputComparison) -> Finding:
    proof = subject.proof
    runs = len(proof.compared)
    reference = "float64" if proof.has_reference else "torch's own result"
    status: Literal["pass", "warn", "fail"] = "pass"
    meaning = f"output '{worst.name}' agrees with {reference} in eval mode in {runs} runs"
    remedy = ""
    if not worst.passed:
        run = proof.run_of(worst)
        switched = "on" if run.optimized else "off"
        status = "fail"
        meaning = (
            f"the file does not compute what torch computes: {worst.reason} (with {run.probe},"
            f" ONNX Runtime's optimizations {switched})"
        )
        remedy = "normserve diagnose names the first layer that differs"
    elif worst.tolerance.atol > _VACUOUS * proof.scales.get(worst.name, 0.0) > 0:
        status = "warn"
        meaning += ", but torch's own rounding error is large, and so is the tolerance"
        remedy = "look at the model's conditioning on these inputs, or give reference_inputs"
    elif not proof.has_reference:
        status = "warn"
        remedy = "make the model run in float64 (no hard-coded dtypes) for a sharper check"
    return Finding(
        check=NAME,
        status=status,
        measured=worst.max_abs_error,
        tolerance=worst.tolerance,
        meaning=meaning,
        remedy=remedy,
    )
