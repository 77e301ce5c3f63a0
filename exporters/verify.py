"""The proof before a bundle exists: the file against torch, opened exactly as the service opens it.

Not for: refusing what can be read from the program (`exporters.scan`), or writing anything.

Every probe is computed by torch in float64 (the reference) and in the model's own precision, whose
error against the reference is what `bundle.derive_tolerance` derives the tolerance from; and by
ONNX Runtime, with its graph optimizations and without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch

from bundle import (
    EXACT,
    InputInvalid,
    ModelInvalid,
    OpenModel,
    OutputComparison,
    RunFailed,
    Tolerance,
    compare,
    derive_tolerance,
    open_model,
)
from exporters.calls import Call
from exporters.eager import Eager, to_numpy
from exporters.error_histogram import ErrorHistogram
from exporters.errors import RandomAtInference, VerificationFailed, first_line
from exporters.probes import Probe

__all__ = ["Compared", "Proof", "require_repeatable", "verify"]

_STATED = {
    # where there is no float64 reference: relative to each value, and to the largest
    np.dtype(np.float64): 1e-9,
    np.dtype(np.float32): 1e-4,
}
_STATED_16_BITS = 2e-2
_MOST_OF_SCALE = 0.1
_MOST_OF_SCALE_16_BITS = 1.0
"""Of the largest value: a tolerance beyond it would pass anything. Then what the model computes in
float64 is no reference for what it is: it looks at types, or is chaotic."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One run of the file that was compared with torch.

    Attributes:
        probe: what went in, in words.
        optimized: whether ONNX Runtime's graph optimizations were on.
        outputs: one comparison for each output.
        errors: those of all elements of each output, in parts of its tolerance.
    """

    probe: str
    optimized: bool
    outputs: tuple[OutputComparison, ...]
    errors: Mapping[str, ErrorHistogram]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared.

    Attributes:
        compared: every run.
        tolerances: of each float output.
        scales: the largest value of each float output.
        has_reference: whether there was a float64 reference.
        own_errors: torch's own against it, of each float output, in parts of the same tolerance.
    """

    compared: tuple[Compared, ...]
    tolerances: Mapping[str, Tolerance]
    scales: Mapping[str, float]
    has_reference: bool
    own_errors: Mapping[str, ErrorHistogram]

    def worst(self, output: str) -> OutputComparison:
        """The comparison of an output with the largest error."""
        of_output = (c for run in self.compared for c in run.outputs if c.name == output)
        return max(of_output, key=_badness)

    def run_of(self, comparison: OutputComparison) -> Compared:
        """The run that a comparison is of."""
        return next(run for run in self.compared if comparison in run.outputs)


def require_repeatable(eager: Eager, example: Sequence[torch.Tensor]) -> None:
    """Refuse what tracing does not show: Python's random numbers, and state that it keeps.

    Raises:
        RandomAtInference: the model answers the same inputs differently.
    """
    for name, difference in eager.changes(example).items():
        raise RandomAtInference(
            f"the model answers the same inputs differently each time: output '{name}' by up to"
            f" {difference:.3g}. It draws random numbers in Python or NumPy, or keeps something"
            " from call to call; the file would have one of the answers for ever. Make it answer"
            " alike in eval mode.",
            layers=(),
        )


def verify(
    model: onnx.ModelProto,
    probes: Sequence[Probe],
    *,
    call: Call,
    eager: Eager,
    wide: Eager | None,
) -> Proof:
    """Compare a file with torch.

    Args:
        model: with its weights inside.
        probes: what to compare on.
        call: names the inputs.
        eager: the untouched model in eval mode.
        wide: the same in float64, or None where it does not run so. Where it computes something
            else, it is not used: torch's own result is the reference, within a stated tolerance.

    Raises:
        VerificationFailed: ONNX Runtime refuses the model, or an input that torch takes.
    """
    single = [eager.run(probe.tensors) for probe in probes]
    reference = (
        single
        if wide is None
        else [
            _with_exact(wide.run(probe.tensors), own)
            for probe, own in zip(probes, single, strict=True)
        ]
    )
    tolerances = {
        name: _tolerance(
            [r[name] for r in reference], [s[name] for s in single], has_reference=wide is not None
        )
        for name in eager.names
        if not _is_exact(single[0][name])
    }
    if wide is not None and any(
        tolerance.atol > _most(single[0][name].dtype) * max(_scale(r[name]) for r in reference)
        for name, tolerance in tolerances.items()
    ):
        return verify(model, probes, call=call, eager=eager, wide=None)
    compared = []
    for optimize in (True, False):
        opened = _open(model, optimize=optimize)
        for probe, expected in zip(probes, reference, strict=True):
            actual = _run(opened, call, probe)
            compared.append(
                Compared(
                    probe=probe.label,
                    optimized=optimize,
                    outputs=compare(expected, actual, tolerances),
                    errors={
                        name: ErrorHistogram.of(
                            expected[name], actual[name], tolerances.get(name, EXACT)
                        )
                        for name in expected
                    },
                )
            )
    return Proof(
        compared=tuple(compared),
        tolerances=tolerances,
        scales={name: max(_scale(r[name]) for r in reference) for name in tolerances},
        has_reference=wide is not None,
        own_errors={} if wide is None else _own_errors(reference, single, tolerances),
    )


def _own_errors(
    reference: Sequence[Mapping[str, np.ndarray]],
    single: Sequence[Mapping[str, np.ndarray]],
    tolerances: Mapping[str, Tolerance],
) -> dict[str, ErrorHistogram]:
    """Torch's own, over all probes together."""
    return {
        name: ErrorHistogram.total(
            ErrorHistogram.of(wanted[name], own[name], tolerance)
            for wanted, own in zip(reference, single, strict=True)
        )
        for name, tolerance in tolerances.items()
    }


def _with_exact(
    wide: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The reference: integers and booleans as the model itself gives them."""
    return {name: own[name] if _is_exact(own[name]) else wide[name] for name in own}


def _is_exact(array: np.ndarray) -> bool:
    return array.dtype.kind in "biu"


def _tolerance(
    reference: Sequence[np.ndarray], single: Sequence[np.ndarray], *, has_reference: bool
) -> Tolerance:
    """Over all probes together: one lucky probe must not make the rule for the others."""
    expected = np.concatenate([array.ravel() for array in reference])
    if has_reference:
        return derive_tolerance(expected, np.concatenate([array.ravel() for array in single]))
    stated = _STATED.get(expected.dtype, _STATED_16_BITS)
    return Tolerance(
        atol=stated * _scale(expected),
        rtol=stated,
        source=f"stated, not derived: float64 is no reference for this model, so that torch's own"
        f" {expected.dtype} result is the reference, within {stated:g} of each value and of the"
        " largest",
    )


def _most(dtype: np.dtype[Any]) -> float:
    return _MOST_OF_SCALE_16_BITS if dtype.itemsize == 2 else _MOST_OF_SCALE


def _scale(array: np.ndarray) -> float:
    values = np.abs(array.astype(np.float64))
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _open(model: onnx.ModelProto, *, optimize: bool) -> OpenModel:
    try:
        return open_model(model, optimize=optimize)
    except ModelInvalid as err:
        raise VerificationFailed(f"the exported file cannot be opened: {err}") from err


def _run(opened: OpenModel, call: Call, probe: Probe) -> dict[str, np.ndarray]:
    feeds = {name: to_numpy(t) for name, t in zip(call.names, probe.tensors, strict=True)}
    try:
        return opened.run(feeds)
    except (InputInvalid, RunFailed) as err:
        raise VerificationFailed(
            f"the file does not run with {probe.label}, which torch takes: {first_line(err)}"
        ) from err


def _badness(comparison: OutputComparison) -> tuple[bool, float]:
    error = comparison.max_abs_error
    return not comparison.passed, float("inf") if error is None else error
