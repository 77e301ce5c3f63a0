"""A diagnosis from start to end: compare, judge, name the cause, cut out what shows it.

Not for: what the sides are (`bundle.diagnose.files`, `bundle.diagnose.ways`; torch's layers in
`exporters.diagnose`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from bundle.comparison import Tolerance, derive_tolerance
from bundle.diagnose.causes import likely_cause
from bundle.diagnose.diagnosis import Cause, Diagnosis, Step, Verdict
from bundle.diagnose.evidence import Evidence
from bundle.diagnose.graph import Graph, Region
from bundle.diagnose.precisions import precisions
from bundle.diagnose.reproduction import Part, Run, reproduce
from bundle.diagnose.trace import Point, Sides, conditioning, first_divergence, trace
from bundle.errors import RunFailed
from bundle.opener import OpenModel, open_model
from bundle.precision.float64 import Float64Model
from bundle.providers import CPU
from bundle.tensors import Datatype

__all__ = ["Examined", "Setup", "examine", "trusted", "unoptimized"]

_TRUSTED = 1e-2
"""Float32 further from float64 than this part of the largest value: one implementation is wrong."""


def unoptimized(model: onnx.ModelProto) -> OpenModel:
    """As the file is written, on the CPU: every value is there to be looked at."""
    return open_model(model, optimize=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is compared, and how.

    Attributes:
        names: of what is right and of what is under examination, for a reader.
        sides: the evaluations.
        actual: the graph under examination.
        expected: the graph that is right, if there is one.
        feeds: inputs of both.
        run: runs a part of ``actual`` as it was examined.
        folded: for nodes of ``actual``, the layer that was folded into each.
        cause: where it is known, because nothing else differs between the sides.
        provider: that ``actual`` runs on.
        notes: for the reader.
    """

    names: tuple[str, str]
    sides: Sides
    actual: Graph
    expected: Graph | None
    feeds: Mapping[str, np.ndarray]
    run: Run
    folded: Mapping[str, str] = field(default_factory=dict)
    cause: Cause | None = None
    provider: str = CPU
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """A diagnosis, and the part of the model that shows it, where there is one."""

    diagnosis: Diagnosis
    part: Part | None = None


def examine(setup: Setup, points: Iterable[Sequence[Point]]) -> Examined:
    """Compare the sides at some values and say where, why and with which nodes they differ.

    Args:
        setup: the sides.
        points: the values, in the order of the graph, in parts that fit into memory.

    Raises:
        BundleError: a side cannot be run.
    """
    steps = trace(points, setup.sides)
    verdict, first = first_divergence(steps)
    diagnosis = Diagnosis(
        expected=setup.names[0],
        actual=setup.names[1],
        verdict=verdict,
        steps=steps,
        first=first,
        conditioning=conditioning(steps if first is None else steps[: steps.index(first)]),
        notes=setup.notes,
    )
    if first is None:
        return Examined(diagnosis)
    agreed = _agreed_before(steps, first)
    near = setup.actual.region(first.value, agreed)
    other = None
    if setup.expected is not None:
        other = setup.expected, setup.expected.region(first.value, agreed)
    values = {
        name: array
        for name, array in setup.sides.wide(_of_interest(near, other)).items()
        if Datatype.from_numpy(array.dtype).is_float
    }
    evidence = Evidence(
        actual=(setup.actual, near),
        expected=other,
        precision=precisions(setup.actual).get(first.value),
        is_explained=verdict is Verdict.EXPLAINED,
        largest={name: _largest(array) for name, array in values.items()},
        folded=setup.folded,
        provider=setup.provider,
        relative=first.error / first.scale if first.scale else 0.0,
    )
    part = _reproduced(setup, near, first, verdict)
    found = {
        "cause": setup.cause or likely_cause(evidence),
        "reproduction": None if part is None else part.found,
    }
    return Examined(diagnosis.model_copy(update=found), part)


def trusted(
    model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]
) -> tuple[Float64Model, tuple[str, ...]]:
    """The model in float64, without the implementations that are wrong; and a note on those.

    Raises:
        BundleError: the model cannot be run.
    """
    wide = Float64Model(model)
    single = unoptimized(model).run(feeds)
    try:
        answers = wide.run(feeds)
        is_near = all(_is_near(answers[name], single[name]) for name in single)
    except RunFailed:
        is_near = False
    disputes = () if is_near else wide.distrust(feeds)
    if not disputes:
        return wide, ()
    said = ", ".join(str(dispute.operator) for dispute in disputes)
    note = (
        f"ONNX's reference implementation and ONNX Runtime disagree about {said}: ONNX Runtime's"
        " answer was taken"
    )
    return wide, (note,)


def _agreed_before(steps: Sequence[Step], first: Step) -> set[str]:
    """The values up to the first divergence that agree in float32."""
    before = steps[: steps.index(first)]
    return {step.value for step in before if step.within_float32} or {
        step.value for step in before if step.comparison.passed
    }


def _of_interest(near: Region, other: tuple[Graph, Region] | None) -> list[str]:
    nodes = other[1].nodes if other else near.nodes
    return [name for node in nodes for name in node.output if name]


def _reproduced(setup: Setup, near: Region, first: Step, verdict: Verdict) -> Part | None:
    graph, sides = setup.actual, setup.sides
    wide = sides.wide([first.value])[first.value]
    single = sides.single([first.value])[first.value]
    tolerance = first.comparison.tolerance
    if verdict is Verdict.EXPLAINED:
        tolerance = _float32s(wide, single)
    inner = [name for name in near.inputs if name not in setup.feeds]
    known = {**(sides.single(inner) if inner else {}), **setup.feeds}
    values = {name: _as_declared(array, graph.types.get(name)) for name, array in known.items()}
    return reproduce(
        graph,
        (near, graph.region(first.value, ())),
        values=values,
        expected=(wide, _as_declared(wide, graph.types.get(first.value))),
        tolerance=tolerance,
        run=setup.run,
    )


def _float32s(wide: np.ndarray, single: np.ndarray) -> Tolerance:
    return derive_tolerance(wide, single.astype(np.float32))


def _as_declared(array: np.ndarray, element: int | None) -> np.ndarray:
    """A float in the type that the file declares for it, float32 where that is unknown."""
    if not Datatype.from_numpy(array.dtype).is_float:
        return array
    kind = Datatype.from_onnx(element) if element else Datatype.FP32
    with np.errstate(over="ignore"):
        return array.astype(kind.numpy)


def _is_near(wide: np.ndarray, single: np.ndarray) -> bool:
    if wide.shape != single.shape:
        return False
    if not Datatype.from_numpy(single.dtype).is_float:
        return True  # integers may differ where rounding decides
    return _largest(wide - single.astype(np.float64)) <= _TRUSTED * _largest(wide)


def _largest(array: np.ndarray) -> float:
    return float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))
