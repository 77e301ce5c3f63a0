"""What indices are known to be, so that a row's index into a flattened batch stays with its row.

Exporters write ``x[arange(rows), place]`` as a lookup in ``x`` flattened to (rows * length, …), at
``arange(rows) * length + place``. That is a row's own if ``place`` is from 0 to length - 1, which
is known where it comes from ArgMax or Mod.
"""

from dataclasses import replace

import numpy as np

from bundle.checks.reach.bits import MARKS, POSITION, ROWS, Reach, anything
from bundle.checks.reach.step import Step

__all__ = ["bounded"]

_KEEPS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


def bounded(step: Step, reach: Reach) -> Reach:
    """The first output of a node, with its bound and its part where they are known."""
    match step.node.op_type:
        case "ArgMax" | "ArgMin":
            return replace(reach, below=step.shape(0)[step.axis(0)])
        case "Mod":
            return replace(reach, below=_divisor(step))
        case "Add":
            return replace(reach, part=_part(step, 0, 1) or _part(step, 1, 0))
        case kind if kind in _KEEPS:
            return replace(reach, below=step.reach(0).below, part=step.reach(0).part)
        case _:
            return reach


def _divisor(step: Step) -> int | None:
    """The remainder has the divisor's sign, unless it is C's."""
    divisor = step.values[1]
    if divisor is None or step.all_of(1) or step.attribute("fmod", 0) or not (divisor > 0).all():
        return None
    return int(divisor.max(initial=0)) or None


def _part(step: Step, counter: int, place: int) -> int | None:
    """How long each row's part is, if a sum is (row's number) * length + place in the part."""
    counted, placed = step.reach(counter), step.reach(place)
    numbers = step.values[counter]
    if numbers is None or numbers.size != step.rows or counted.shape != placed.shape:
        return None
    if placed.below is None or anything(counted.bits) & (MARKS | ROWS) != POSITION:
        return None
    length = int(numbers.flat[1]) if step.rows > 1 else 0
    is_counter = np.array_equal(numbers.ravel(), np.arange(step.rows) * length)
    return length if is_counter and placed.below <= length else None
