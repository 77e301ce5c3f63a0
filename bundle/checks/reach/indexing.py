"""Operators that look elements up, or put them, at indices that the graph computes.

Indices that come from the content of a row may point anywhere: all along that axis comes together.
Other indices are looked up in the run; along the batch they must be the row's own, or what is found
there depends on the position.
"""

from collections.abc import Mapping

import numpy as np

from bundle.checks.reach.bits import (
    MARKS,
    NOTHING,
    POSITION,
    ROWS,
    SIZE,
    STEP,
    Bits,
    anything,
    compact,
    merge,
)
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]


def _gather(step: Step) -> list[Bits]:
    axis = step.axis(0)
    data, index = step.bits(0), step.bits(1)
    rank, index_rank = step.rank(0), step.rank(1)
    at = index.reshape((1,) * axis + index.shape + (1,) * (rank - 1 - axis))
    is_sized = axis in step.reach(0).sized
    if anything(index) & ROWS:
        found = _in_place_of(step.merged(0, [axis]), axis, index_rank)
        return [found | at]
    if data.shape[axis] == 1 and not is_sized:
        return [_in_place_of(data, axis, index_rank) | at]
    where = step.value(1)
    if is_sized:
        if _is_every_row(where, step.shape(0)[axis], step.marks(1)):
            return [data]
        at = at | POSITION
    if data.shape[axis] == 1:
        return [_in_place_of(data, axis, index_rank) | at]
    return [compact(data.take(where, axis)) | at]


def _is_every_row(where: np.ndarray, length: int, marks: np.uint32) -> bool:
    """Whether indices are 0, 1, 2 … to the end of the batch, whatever its size."""
    is_counter = bool(marks & POSITION) and not marks & (SIZE | STEP)
    return is_counter and np.array_equal(where, np.arange(length))


def _in_place_of(bits: Bits, axis: int, rank: int) -> Bits:
    """The bits with an axis of length 1 replaced by some others of length 1."""
    return bits.reshape(bits.shape[:axis] + (1,) * rank + bits.shape[axis + 1 :])


def _gather_elements(step: Step) -> list[Bits]:
    axis = step.axis(0)
    data, index = step.bits(0), step.bits(1)
    marks = _cropped(step, axis, step.shape(1))
    data = data[tuple(slice(0, n) for n in (max(n, 1) for n in _crop(step, axis)))]
    is_sized = axis in step.reach(0).sized
    if anything(index) & ROWS or (is_sized and data.shape[axis] == 1):
        return [step.merged(0, [axis])[_within(data, axis)] | index | marks]
    if data.shape[axis] == 1:
        return [data | index | marks]
    where = step.value(1)
    full = np.broadcast_to(data, [
        step.shape(0)[a] if a == axis else n for a, n in enumerate(where.shape)
    ])
    found = compact(np.take_along_axis(full, where, axis))
    return [found | index | marks | (POSITION if is_sized else NOTHING)]


def _crop(step: Step, axis: int) -> list[int]:
    """How much of each axis of the data the indices are laid over."""
    return [
        n if a == axis else min(n, step.shape(1)[a]) for a, n in enumerate(step.shape(0))
    ]


def _cropped(step: Step, axis: int, index: tuple[int, ...]) -> np.uint32:
    cut = [a for a, n in enumerate(step.shape(0)) if a != axis and index[a] != n]
    return POSITION if step.reach(0).sized.intersection(cut) else NOTHING


def _within(bits: Bits, axis: int) -> tuple[slice, ...]:
    return tuple(slice(0, 1 if a == axis else n) for a, n in enumerate(bits.shape))


def _gather_nd(step: Step) -> list[Bits]:
    """GatherND: the last axis of the indices is a place in the data."""
    together = int(step.attribute("batch_dims", 0))
    data, shape = step.bits(0), step.shape(0)
    index = np.broadcast_to(step.bits(1), step.shape(1))
    places = step.shape(1)[-1]
    result_rank = len(step.out())
    lead = step.shape(1)[:-1]
    merged_axes = [
        together + k for k in range(places) if anything(index[..., k]) & ROWS
    ]
    data = step.merged(0, merged_axes) if merged_axes else data
    brought = np.zeros(lead, np.uint32)
    picks: list[np.ndarray] = list(np.indices(lead, sparse=True)[:together])
    picks = [np.minimum(pick, data.shape[a] - 1) for a, pick in enumerate(picks)]
    for k in range(places):
        axis = together + k
        bits = index[..., k]
        if axis in merged_axes:
            picks.append(np.zeros((1,) * len(lead), np.int64))
            brought = brought | bits
            continue
        where = step.value(1)[..., k]
        if axis in step.reach(0).sized:
            own = _is_own_row(where, step.shape(0)[axis], anything(bits) & MARKS)
            brought = brought | (NOTHING if own else bits | POSITION)
        else:
            brought = brought | bits
        picks.append(np.where(data.shape[axis] == 1, 0, where % max(shape[axis], 1)))
    found = data[tuple(np.broadcast_arrays(*picks))] if picks else data
    tail = (1,) * (result_rank - len(lead))
    return [compact(found | brought.reshape(brought.shape + tail))]


def _is_own_row(where: np.ndarray, length: int, marks: np.uint32) -> bool:
    """Whether indices say, along one of their axes, 0, 1, 2 … to the end of the batch."""
    if not marks & POSITION or marks & (SIZE | STEP):
        return False
    return any(
        where.shape[axis] == length
        and bool((np.moveaxis(where, axis, -1) == np.arange(length)).all())
        for axis in range(where.ndim)
    )


def _scatter_elements(step: Step) -> list[Bits]:
    """ScatterElements, Scatter: along one axis, updates are laid over the data."""
    axis = step.axis(0)
    index, updates = step.bits(1), step.bits(2)
    is_sized = axis in step.reach(0).sized
    other_cut = _cropped(step, axis, step.shape(1))
    given = np.broadcast_to(index | updates, [
        1 if index.shape[a] == updates.shape[a] == 1 else n for a, n in enumerate(step.shape(1))
    ])
    brought = merge(given, [axis])
    widened = [
        [a for a, n in enumerate(brought.shape) if n > 1 and n != step.shape(0)[a]]
    ][0]
    brought = merge(brought, widened) if widened else brought
    result = step.bits(0) | brought | other_cut
    return [result | POSITION if is_sized else result]


def _scatter_nd(step: Step) -> list[Bits]:
    """ScatterND: updates go to places in the data; what may land there is taken to be there."""
    index = np.broadcast_to(step.bits(1), step.shape(1))
    shape, places = step.shape(0), step.shape(1)[-1]
    lead = len(step.shape(1)) - 1
    data, updates = step.bits(0), step.bits(2)
    brought = updates
    marks = NOTHING
    target = [1] * len(shape)
    kept: dict[int, int] = {}
    for k in range(places):
        bits = index[..., k]
        marks |= anything(bits) & MARKS
        if k not in step.reach(0).sized:
            continue
        row_axis = None
        if not anything(bits) & ROWS:
            row_axis = _row_axis(step.value(1)[..., k], shape[k], anything(bits) & MARKS)
        if row_axis is None:
            marks |= POSITION
        else:
            kept[row_axis] = k
            marks &= ~POSITION
    rows_of_index = merge(index, [lead])[..., 0]
    brought = brought | rows_of_index.reshape(
        rows_of_index.shape + (1,) * (brought.ndim - lead)
    ) & ROWS
    brought = merge(brought, [a for a in range(lead) if a not in kept])
    for row_axis, axis in kept.items():
        target[axis] = brought.shape[row_axis]
    for offset in range(places, len(shape)):
        target[offset] = brought.shape[lead + offset - places]
    order = [*sorted(kept, key=kept.__getitem__)]
    rest = [a for a in range(lead) if a not in kept]
    moved = brought.transpose([*order, *range(lead, brought.ndim), *rest]).reshape(target)
    return [compact(data | moved | marks)]


def _row_axis(where: np.ndarray, length: int, marks: np.uint32) -> int | None:
    """The axis of the indices along which they count the rows of the batch."""
    if not marks & POSITION or marks & (SIZE | STEP):
        return None
    for axis in range(where.ndim):
        if where.shape[axis] == length and bool(
            (np.moveaxis(where, axis, -1) == np.arange(length)).all()
        ):
            return axis
    return None


def _one_hot(step: Step) -> list[Bits]:
    """OneHot: an axis as long as `depth` says, put in at `axis`."""
    rank = step.rank(0) + 1
    axis = int(step.attribute("axis", -1)) % rank
    bits = np.expand_dims(step.bits(0), axis) | step.all_of(2)
    return [bits | POSITION if axis in step.sized[0] else bits]


def _array_features(step: Step) -> list[Bits]:
    """ai.onnx.ml.ArrayFeatureExtractor: constant columns of the last axis."""
    return [step.merged(0, [step.rank(0) - 1]) | step.all_of(1)]


RULES: Mapping[str, Rule] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "OneHot": _one_hot,
    "ArrayFeatureExtractor": _array_features,
}
"""By operator."""
