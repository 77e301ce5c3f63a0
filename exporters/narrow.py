"""A file that was proved in float32, in another precision. Not for: how it is converted.

The weights were folded and merged in float64 before: a batch norm that is folded in 16 bits loses
what a small variance is divided by.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch

from bundle import BundleError, Finding, Tolerance, open_model
from bundle.checks import Subject
from bundle.conversion import Conversion
from bundle.precision import Precision, Variant, make_variant, variant_findings
from bundle.precision.loss import MAX_LOSS, loss_finding, loss_tolerances, relative_loss
from bundle.precision.quantize import METHOD as QUANTIZED
from exporters.checks import TorchSubject
from exporters.eager import to_numpy
from exporters.errors import ConversionFailed, InputsInvalid, VerificationFailed, first_line
from exporters.statistics import Rows

__all__ = ["Narrowed", "narrow"]

_HELD_OUT = 4
"""One row of so many."""
_SIXTEEN_BITS = "weights and tensors in 16 bits, casts around what stays in float32"


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A file in another precision, and what it is worth.

    Attributes:
        file: with its weights inside; its inputs and outputs are as before.
        conversion: how it was made.
        findings: what it loses.
        tolerances: of each float output against its golden samples.
    """

    file: onnx.ModelProto
    conversion: Conversion
    findings: tuple[Finding, ...]
    tolerances: dict[str, Tolerance]


def narrow(subject: TorchSubject, precision: Precision, max_loss: float | None = None) -> Narrowed:
    """Convert a proved file and compare it with torch in float64 on the real inputs.

    Args:
        subject: the model, its float32 file and its reference inputs. The last quarter of the rows
            of each call is held out: no range of int8 is taken from it.
        precision: of the new file.
        max_loss: what it may lose, as part of each output's largest value.

    Raises:
        InputsInvalid: int8 has no reference inputs, or the bound is none.
        ConversionFailed: nothing of the model can be converted.
        VerificationFailed: the new file does not run.
    """
    allowed = MAX_LOSS[precision] if max_loss is None else max_loss
    if not 0 < allowed <= 1:
        raise InputsInvalid(f"max_loss is {allowed:g}; it is a part of the largest value: 0 to 1.")
    if precision is Precision.INT8 and not subject.references:
        raise InputsInvalid(
            "int8 takes reference_inputs (--reference): the ranges of its numbers are taken from"
            " real inputs. Ranges that are found while it runs depend on the whole batch."
        )
    calls = subject.references or (subject.source.example,)
    feeds = [_feed(subject, tensors) for tensors in calls]
    ranged = _first_rows(subject, calls) if precision is Precision.INT8 else calls
    calibration = [_feed(subject, tensors) for tensors in ranged]
    made = _convert(subject.file, precision, calibration)
    expected = [_exact(subject, tensors) for tensors in calls]
    tolerances = loss_tolerances(expected, precision, allowed)
    seen = _count(subject, ranged)
    held_out = _count(subject, calls) - seen
    how = f"{precision} against PyTorch in float64 on {seen + held_out} rows"
    how += f", {held_out} of which gave no range" if held_out else ""
    try:
        opened = open_model(made.model)
        got = [opened.run(feed) for feed in feeds]
        findings = (
            loss_finding(expected, got, tolerances, how),
            *variant_findings(
                Subject(model=subject.file), made.model, precision, feeds=feeds, note=_note(made)
            ),
        )
    except BundleError as err:
        raise VerificationFailed(f"the {precision} file does not run: {first_line(err)}") from err
    return Narrowed(
        file=made.model,
        conversion=Conversion(
            precision=precision.value,
            method=QUANTIZED if precision is Precision.INT8 else _SIXTEEN_BITS,
            calibration_rows=seen,
            calibration_sha256=_digest(calibration),
            held_out_rows=held_out,
            kept={node.output: node.reason for node in made.kept},
            max_loss=allowed,
            loss=relative_loss(expected, got),
        ),
        findings=findings,
        tolerances=tolerances,
    )


def _convert(
    file: onnx.ModelProto, precision: Precision, calibration: Sequence[Mapping[str, np.ndarray]]
) -> Variant:
    try:
        return make_variant(file, precision, calibration)
    except BundleError as err:
        raise ConversionFailed(f"no {precision} file can be made: {first_line(err)}") from err


def _first_rows(
    subject: TorchSubject, calls: Sequence[tuple[torch.Tensor, ...]]
) -> list[tuple[torch.Tensor, ...]]:
    """Each call without the last quarter of its rows."""
    rows = Rows.of_tensors(subject.source.call, calls, subject.source.dimensions)
    kept = [count - count // _HELD_OUT for count in map(rows.count, calls)]
    return [
        tuple(
            tensor[:most] if is_batched else tensor
            for tensor, is_batched in zip(tensors, rows.batched, strict=True)
        )
        for tensors, most in zip(calls, kept, strict=True)
    ]


def _count(subject: TorchSubject, calls: Sequence[tuple[torch.Tensor, ...]]) -> int:
    """How many rows calls have; one that has no batch counts as one."""
    rows = Rows.of_tensors(subject.source.call, calls, subject.source.dimensions)
    return sum(max(rows.count(tensors), 1) for tensors in calls)


def _feed(subject: TorchSubject, tensors: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    names = subject.source.call.names
    return {name: to_numpy(tensor) for name, tensor in zip(names, tensors, strict=True)}


def _exact(subject: TorchSubject, tensors: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    """Torch's answers in float64, where the model runs so; integers as the model gives them."""
    own = subject.source.eager.run(tensors)
    if subject.source.wide is None:
        return {n: a if a.dtype.kind in "biu" else a.astype(np.float64) for n, a in own.items()}
    wide = subject.source.wide.run(tensors)
    return {name: own[name] if own[name].dtype.kind in "biu" else wide[name] for name in own}


def _note(made: Variant) -> str:
    kept = Counter(node.operator.op_type for node in made.kept)
    said = ", ".join(f"{count} {op_type}" for op_type, count in kept.most_common())
    return f"; in float32 stay {said}" if said else ""


def _digest(feeds: Sequence[Mapping[str, np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for feed in feeds:
        for name, array in sorted(feed.items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
