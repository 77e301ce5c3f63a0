"""Compare two ways of computing a model at every value that both have. Not for: why they differ.

The tolerance at a value is the one of `bundle.comparison`, derived there: float32's own error
against float64 at that very value. So it grows through the network as rounding errors do, and what
exceeds it somewhere has another cause than rounding.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bundle.certificate import Operator
from bundle.comparison import compare, derive_tolerance
from bundle.diagnose.diagnosis import Step, Verdict
from bundle.precision.kinds import Precision
from bundle.precision.tolerance import precision_tolerance
from bundle.tensors import Datatype

__all__ = ["Point", "Sides", "conditioning", "first_divergence", "trace"]

Take = Callable[[Sequence[str]], Mapping[str, np.ndarray]]
"""Gives some values by the names of their points."""

_ULP = 2.0**-23
_AMPLIFIES = 1e3


@dataclass(frozen=True, slots=True)
class Point:
    """A value to compare.

    Attributes:
        name: of the value, the same on all sides.
        layer: what gives it, for a reader.
        operator: the node under examination that gives it.
        precision: the coarsest that it depends on; None for float32.
    """

    name: str
    layer: str
    operator: Operator | None = None
    precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class Sides:
    """Three evaluations of the same values.

    Attributes:
        wide: in float64: what is right.
        single: in float32, trusted: how much rounding does.
        actual: what is under examination.
    """

    wide: Take
    single: Take
    actual: Take


def trace(points: Iterable[Sequence[Point]], sides: Sides) -> tuple[Step, ...]:
    """Compare every value.

    Args:
        points: in the order of the graph, in parts whose values fit into memory together. Points
            that a side does not give are left out.
        sides: the evaluations.
    """
    return tuple(step for part in points for step in _part(part, sides))


def first_divergence(steps: Sequence[Step]) -> tuple[Verdict, Step | None]:
    """The first value that differs by more than its precision explains, else than float32 does."""
    for step in steps:
        if not step.comparison.passed:
            return Verdict.DIVERGES, step
    for step in steps:
        if not step.within_float32:
            return Verdict.EXPLAINED, step
    return Verdict.AGREES, None


def conditioning(steps: Sequence[Step]) -> str:
    """How rounding grows through the network, and how the difference compares with it."""
    if not any(step.error < np.inf for step in steps):
        return "no value before it could be compared"
    last = steps[-1]
    units = last.rounding / (last.scale * _ULP) if last.scale else 0.0
    worst = max(step.error / _noise(step) for step in steps if step.error < np.inf)
    said = (
        f"float32's own error at '{last.value}' is {units:.2g} units in the last place of its"
        f" largest value; nowhere is the difference more than {worst:.2g} times float32's error"
    )
    if units > _AMPLIFIES:
        said += (
            ". The network amplifies rounding that much on these inputs: differences that grow"
            " smoothly are its conditioning, not a defect"
        )
    return said


def _part(points: Sequence[Point], sides: Sides) -> Iterable[Step]:
    names = [point.name for point in points]
    wide, single, actual = sides.wide(names), sides.single(names), sides.actual(names)
    for point in points:
        name = point.name
        if name in wide and name in single and name in actual:
            yield _step(point, wide[name], single[name], actual[name])


def _step(point: Point, wide: np.ndarray, single: np.ndarray, actual: np.ndarray) -> Step:
    if not Datatype.from_numpy(wide.dtype).is_float:
        (comparison,) = compare({point.name: wide}, {point.name: actual}, {})
        rounding, scale, within = 0.0, 0.0, comparison.passed
    else:
        wide = wide.astype(np.float64)
        if single.shape != wide.shape:
            single = wide  # a length that rounding changed: nothing to subtract
        strict, allowed = (
            derive_tolerance(wide, single.astype(np.float32)),
            precision_tolerance(wide, single.astype(np.float32), point.precision),
        )
        expected, got = {point.name: wide}, {point.name: actual}
        (comparison,) = compare(expected, got, {point.name: allowed})
        within = compare(expected, got, {point.name: strict})[0].passed
        rounding, scale = _largest(single.astype(np.float64) - wide), _largest(wide)
    return Step(
        value=point.name,
        layer=point.layer,
        operator=point.operator,
        rounding=rounding,
        scale=scale,
        within_float32=within,
        comparison=comparison,
    )


def _noise(step: Step) -> float:
    """Float32's error at a value, at least one unit in the last place."""
    return max(step.rounding, step.scale * _ULP) or 1.0


def _largest(array: np.ndarray) -> float:
    return float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))
