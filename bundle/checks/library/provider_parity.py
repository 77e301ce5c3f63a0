"""Does every execution provider of this machine compute what the graph says, against float64?

Explained in ``docs/checks/provider-parity.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from bundle.checks.coarse import ways_tolerances
from bundle.checks.parity import feeds_of, worst_of
from bundle.checks.subject import Feeds, Subject
from bundle.comparison import OutputComparison, Tolerance, compare
from bundle.errors import ModelInvalid, PlacementRefused, ProviderUnavailable, RunFailed
from bundle.manifest import Finding
from bundle.precision.float64 import Float64Model
from bundle.precision.tolerance import TF32_ERRORS
from bundle.providers import CPU, CUDA, OPENVINO, available_providers
from bundle.tensors import Datatype

__all__ = ["NAME", "Runs", "check", "findings"]

NAME = "provider-parity"

_TRIED = {CPU: "cpu", CUDA: "cuda", OPENVINO: "openvino"}
"""TensorRT is not: it builds engines for minutes."""

_INPUTS = 2
_RUNS = 3
"""Of the same input, for the noise floor."""
_TF32_REMEDY = (
    "find out why TF32 is on: NormServe opens sessions with it off; look for"
    " NVIDIA_TF32_OVERRIDE in the environment"
)
_DOUBT = 1e-2
"""On the CPU, ONNX's reference implementation and ONNX Runtime are two of a kind: what they differ
by below this part of the largest value is a warning."""


class Runs(Protocol):
    """A model that is open on a provider."""

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """The outputs by name."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """What is right for each input, and a note on where that comes from."""

    answers: tuple[Mapping[str, np.ndarray], ...]
    said: str
    doubt: str = ""


def check(subject: Subject) -> tuple[Finding, ...]:
    """Compare the model on the CPU, and on what else there is here, with float64.

    Raises:
        BundleError: the model cannot be opened or run on the CPU.
    """
    opened: dict[str, Runs] = {}
    unavailable: list[Finding] = []
    for provider, spelling in _TRIED.items():
        if provider not in (CPU, *available_providers()):
            continue
        try:
            policy = replace(subject.policy, spelling=spelling)
            opened[provider] = replace(subject, policy=policy).open()
        except (ModelInvalid, PlacementRefused, ProviderUnavailable) as err:
            if provider == CPU:
                raise
            unavailable.append(_unknown(provider, f"it could not be tried: {err}"))
    return (*findings(subject, opened), *unavailable)


def findings(subject: Subject, opened: Mapping[str, Runs]) -> tuple[Finding, ...]:
    """One finding for each provider.

    Args:
        subject: the model.
        opened: the model on each provider, by the provider's name; the first computes the integer
            outputs that the others must repeat.

    Raises:
        BundleError: the model cannot be run.
    """
    served = subject.open()
    feeds = feeds_of(subject, served)[:_INPUTS]
    # not from the providers under examination: what is wrong must not widen its own tolerance
    tolerances = ways_tolerances(subject, feeds, [served.run(feed) for feed in feeds])
    first = next(iter(opened.values()))
    answers = [first.run(feed) for feed in feeds]
    try:
        reference = _reference(subject, feeds, answers, tolerances)
    except RunFailed as err:
        return tuple(_unknown(provider, f"there is no float64: {err}") for provider in opened)
    found = []
    for provider, runs in opened.items():
        comparisons = [
            comparison
            for feed, expected in zip(feeds, reference.answers, strict=True)
            for comparison in compare(expected, runs.run(feed), tolerances)
        ]
        judged = _Judged(provider, worst_of(comparisons), _noise(runs, feeds[0]), reference)
        in_doubt = runs is first and (_is_proven(subject) or judged.relative <= _DOUBT)
        found.append(_finding(judged, in_doubt=in_doubt))
    return tuple(found)


def _reference(
    subject: Subject,
    feeds: Sequence[Feeds],
    answers: Sequence[Mapping[str, np.ndarray]],
    tolerances: Mapping[str, Tolerance],
) -> _Reference:
    """The graph in float64; its integer outputs as float32 gives them."""
    graph = Float64Model(subject.proto())
    doubt = ""
    try:
        wide = _in_float64(graph, feeds, answers)
        agrees = all(
            comparison.passed
            for expected, answer in zip(wide, answers, strict=True)
            for comparison in compare(expected, answer, tolerances)
        )
    except RunFailed:
        agrees = False
    if not agrees:
        disputed = graph.distrust(feeds[0])
        wide = _in_float64(graph, feeds, answers)
        doubt = "; ".join(f"{each.operator} by {each.apart:.2g}" for each in disputed)
    said = "float64"
    if graph.narrow:
        nodes = "1 node" if len(graph.narrow) == 1 else f"{len(graph.narrow)} nodes"
        said += f" (of {nodes} ONNX Runtime's answer)"
    return _Reference(wide, said, doubt)


def _in_float64(
    graph: Float64Model, feeds: Sequence[Feeds], answers: Sequence[Mapping[str, np.ndarray]]
) -> tuple[Mapping[str, np.ndarray], ...]:
    return tuple(
        {
            name: wide if Datatype.from_numpy(answer[name].dtype).is_float else answer[name]
            for name, wide in graph.run(feed, answer).items()
        }
        for feed, answer in zip(feeds, answers, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """A provider's worst output.

    Attributes:
        provider: its name.
        worst: the comparison with the reference.
        noise: how much the same input moves from run to run.
        reference: what it was compared with.
    """

    provider: str
    worst: OutputComparison
    noise: float
    reference: _Reference

    @property
    def relative(self) -> float:
        """The error as part of the largest value; infinite where a value is not finite."""
        error, allowed = self.worst.max_abs_error, self.worst.tolerance
        if error is None or (not self.worst.passed and error <= allowed.atol):
            return float("inf")
        if not Datatype.from_numpy(self.reference.answers[0][self.worst.name].dtype).is_float:
            return error
        scale = max(_scale(answer[self.worst.name]) for answer in self.reference.answers)
        return error / scale if scale else error


def _finding(judged: _Judged, *, in_doubt: bool) -> Finding:
    worst, said = judged.worst, judged.reference.said
    status: Literal["pass", "warn", "fail"] = "pass"
    remedy = ""
    if worst.passed:
        meaning = f"{judged.provider} agrees with {said}"
    else:
        status = "warn" if in_doubt else "fail"
        cause, remedy = _cause(judged)
        meaning = f"{judged.provider} does not compute what {said} does: {worst.reason}{cause}"
    if judged.noise > worst.tolerance.atol:
        status = "fail"
        meaning += f"; the same input moves by {judged.noise:.2g} from run to run, beyond what is"
        meaning += " allowed: nothing can be judged"
        remedy = "make the model give the same answer twice first: see the check determinism"
    elif judged.noise:
        meaning += f"; the same input moves by {judged.noise:.2g} from run to run"
    else:
        meaning += "; runs repeat bit for bit"
    if judged.reference.doubt:
        status = "warn" if status == "pass" else status
        meaning += (
            "; ONNX Runtime and ONNX's reference implementation disagree about"
            f" {judged.reference.doubt} of the largest value, and ONNX Runtime was believed"
        )
        remedy = remedy or "compare that operator with the framework that the model comes from"
    return Finding(
        check=NAME,
        status=status,
        measured=worst.max_abs_error,
        tolerance=worst.tolerance,
        meaning=meaning,
        remedy=remedy,
    )


def _cause(judged: _Judged) -> tuple[str, str]:
    """What the size of an error tells of its cause, and what to do."""
    if judged.provider == CUDA and TF32_ERRORS[0] < judged.relative < TF32_ERRORS[1]:
        said = f"; {judged.relative:.1e} of the largest value is the size of TF32's rounding"
        return said, _TF32_REMEDY
    return "", "normserve diagnose names the first layer that differs"


def _is_proven(subject: Subject) -> bool:
    """Whether the model was compared with torch on the CPU when it was exported."""
    return subject.manifest is not None and bool(subject.manifest.tolerances)


def _noise(runs: Runs, feed: Feeds) -> float:
    """The largest difference between runs of the same input."""
    first, *others = (runs.run(feed) for _ in range(_RUNS))
    exactly = Tolerance(atol=0.0, rtol=0.0, source="the same bits")
    return max(
        (np.inf if comparison.max_abs_error is None else comparison.max_abs_error)
        for other in others
        for comparison in compare(first, other, dict.fromkeys(first, exactly))
    )


def _scale(array: np.ndarray) -> float:
    values = np.abs(array.astype(np.float64))
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _unknown(provider: str, reason: str) -> Finding:
    return Finding(
        check=NAME,
        status="not_applicable",
        measured=None,
        tolerance=None,
        meaning=f"{provider}: {reason}",
    )
