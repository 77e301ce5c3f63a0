"""What an export found out, as findings for the manifest. Not for: finding it out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from bundle import Finding
from exporters.batch import NOISE
from exporters.convert import Converted, Subject
from exporters.verify import Proof

__all__ = ["findings_of"]

_VACUOUS = 1e-2
"""A tolerance beyond this part of the largest value proves little."""


def findings_of(
    subject: Subject,
    converted: Converted,
    proof: Proof,
    *,
    movement: float | None,
    sizes: Sequence[Mapping[str, int]],
) -> tuple[Finding, ...]:
    """Everything worth saying about an export that succeeded, good or doubtful.

    Args:
        subject: the model.
        converted: what was made of it.
        proof: that it computes the same.
        movement: of a row by its neighbours, as `exporters.batch` measures it.
        sizes: of the dimensions at which it was compared.
    """
    return (
        *_parity(subject, proof),
        *_dimensions(subject, sizes),
        *_modes(subject, converted),
        *_batch(converted, movement),
        *_state(converted),
        *_left_out(subject),
    )


def _parity(subject: Subject, proof: Proof) -> Iterator[Finding]:
    for name in subject.eager.names:
        worst = proof.worst(name)
        runs = len(proof.compared)
        reference = "float64" if proof.has_reference else "torch's own result"
        meaning = f"output '{name}' agrees with {reference} in eval mode in {runs} runs"
        remedy = ""
        is_wide = worst.tolerance.atol > _VACUOUS * proof.scales.get(name, 0.0) > 0
        if is_wide:
            meaning += ", but torch's own rounding error is large, and so is the tolerance"
            remedy = "look at the model's conditioning on these inputs, or give reference_inputs"
        if not proof.has_reference:
            remedy = "make the model run in float64 (no hard-coded dtypes) for a sharper check"
        yield Finding(
            check="eval-parity",
            status="warn" if remedy else "pass",
            measured=worst.max_abs_error,
            tolerance=worst.tolerance,
            meaning=meaning,
            remedy=remedy,
        )


def _dimensions(subject: Subject, sizes: Sequence[Mapping[str, int]]) -> Iterator[Finding]:
    for name in subject.dimensions.by_name:
        seen = sorted({case[name] for case in sizes})
        said = ", ".join(map(str, seen))
        if len(seen) > 1:
            yield _finding("dynamic-dimensions", "pass", f"dimension '{name}' was run at {said}")
        else:
            yield _finding(
                "dynamic-dimensions",
                "warn",
                f"dimension '{name}' was run at {said} only: the model itself takes no other size"
                " that was tried",
                "give reference_inputs of other sizes, or leave it out of dynamic_shapes",
            )


def _modes(subject: Subject, converted: Converted) -> Iterator[Finding]:
    if subject.model.training:
        yield _finding(
            "mode",
            "warn",
            "the model was in training mode; what was exported is its eval mode",
            "call model.eval() before the export to say that this is meant",
        )
    stuck = [name for name in subject.stuck if name not in converted.batch_dependent]
    if stuck:
        yield _finding(
            "mode",
            "warn",
            f"{', '.join(name or 'the model' for name in stuck)} stay in training mode after"
            " model.eval(), without effect on what is computed",
            "let their train() pass the mode on",
        )
    if not subject.model.training and not stuck:
        yield _finding("mode", "pass", "the model was in eval mode")


def _batch(converted: Converted, movement: float | None) -> Iterator[Finding]:
    if movement is None:
        return
    if converted.batch_dependent:
        layers = ", ".join(map(repr, converted.batch_dependent))
        meaning = f"statistics of the batch are used, as was asked for, by {layers}"
        remedy = "send rows that belong together in one request, and never batch across requests"
    elif movement > NOISE:
        meaning = "a row's answer depends on the other rows of its batch"
        remedy = "never batch across requests"
    else:
        meaning, remedy = "exchanging the other rows of a batch did not move a row's answer", ""
    status: Literal["pass", "warn"] = "warn" if remedy else "pass"
    yield _finding("batch-independence", status, meaning, remedy, measured=movement)


def _state(converted: Converted) -> Iterator[Finding]:
    if converted.changing_buffers:
        yield _finding(
            "state",
            "warn",
            f"calls change {', '.join(converted.changing_buffers)}, which no output depends on;"
            " the file leaves that out",
            "switch it off in eval mode",
        )


def _left_out(subject: Subject) -> Iterator[Finding]:
    if subject.left_out:
        yield _finding(
            "outputs",
            "warn",
            f"the model also returns {', '.join(subject.left_out)}, which is no tensor and is left"
            " out",
            "return tensors, or switch it off (use_cache=False and the like)",
        )


def _finding(
    check: str,
    status: Literal["pass", "warn"],
    meaning: str,
    remedy: str = "",
    *,
    measured: float | None = None,
) -> Finding:
    return Finding(
        check=check,
        status=status,
        measured=measured,
        tolerance=None,
        meaning=meaning,
        remedy=remedy,
    )
