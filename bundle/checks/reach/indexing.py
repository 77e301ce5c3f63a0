"""Operators that look elements up, or put them, at indices that the graph computes.

Indices that come from the content of a row may point anywhere: all along that axis comes together.
Other indices are looked up in the run; along the batch they must be the row's own, or what is found
there depends on the position.
"""

from collections.abc import Mapping

import numpy as np

from bundle.checks.reach.bits import (
    NOTHING,
    POSITION,
    ROWS,
    SIZE,
    STEP,
    Bits,
    anything,
    compact,
    merge,
    picked,
)
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]


def _gather(step: Step) -> list[Bits]:
    axis = step.axis(0)
    data, index = step.bits(0), step.bits(1)
    rank, index_rank = step.rank(0), step.rank(1)
    at = index.reshape((1,) * axis + index.shape + (1,) * (rank - 1 - axis))
    is_sized = axis in step.reach(0).sized
    part = step.reach(1).part
    if is_sized and part is not None and part * step.rows == step.shape(0)[axis]:
        own = _by_part(data, axis, rows=step.rows)
        found = own.reshape(data.shape[:axis] + step.shape(1) + data.shape[axis + 1 :])
        return [compact(found | (at & ROWS))]
    if anything(index) & ROWS:
        found = _in_place_of(step.merged(0, [axis]), axis, index_rank)
        return [found | at]
    if data.shape[axis] == 1 and not is_sized:
        return [_in_place_of(data, axis, index_rank) | at]
    where = step.value(1)
    found = (
        _in_place_of(data, axis, index_rank) if data.shape[axis] == 1 else data.take(where, axis)
    )
    if is_sized and _row_axis(step, where, axis, anything(index)) is not None:
        return [compact(found)]
    return [compact(picked(found) if is_sized else found) | at]


def _by_part(bits: Bits, axis: int, *, rows: int) -> Bits:
    """What is in each row's part of an axis, (rows) long."""
    whole = bits if bits.shape[axis] > 1 else np.repeat(bits, rows, axis)
    shape = whole.shape
    parts = whole.reshape(*shape[:axis], rows, -1, *shape[axis + 1 :])
    return merge(parts, [axis + 1]).reshape(*shape[:axis], rows, *shape[axis + 1 :])


def _in_place_of(bits: Bits, axis: int, rank: int) -> Bits:
    """The bits with an axis of length 1 replaced by some others of length 1."""
    return bits.reshape(bits.shape[:axis] + (1,) * rank + bits.shape[axis + 1 :])


def _gather_elements(step: Step) -> list[Bits]:
    """GatherElements: indices are laid over the data and look up along one axis."""
    axis = step.axis(0)
    index, over = step.bits(1), step.shape(1)
    sized = step.reach(0).sized
    cut = [a for a, n in enumerate(step.shape(0)) if a != axis and n != over[a]]
    at = index | POSITION if sized.intersection([*cut, axis]) else index
    data = step.bits(0)
    if anything(index) & ROWS:
        data = step.merged(0, [axis])
    data = data[tuple(slice(0, n if a == axis else over[a]) for a, n in enumerate(data.shape))]
    if data.shape[axis] > 1:
        where = step.value(1)
        full = [n if a == axis else over[a] for a, n in enumerate(data.shape)]
        data = compact(np.take_along_axis(np.broadcast_to(data, full), where, axis))
    return [data | at]


def _gather_nd(step: Step) -> list[Bits]:
    """GatherND: the last axis of the indices is a place in the data."""
    together = int(step.attribute("batch_dims", 0))
    *lead, places = step.shape(1)
    index = np.broadcast_to(step.bits(1), step.shape(1))
    by_content = [k for k in range(places) if anything(index[..., k]) & ROWS]
    data = step.merged(0, [together + k for k in by_content])
    at = np.zeros(lead, np.uint32)
    picks = list(np.indices(lead, sparse=True)[:together])
    for k in range(places):
        bits, axis = index[..., k], together + k
        where = np.zeros(lead, np.int64) if k in by_content else step.value(1)[..., k]
        picks.append(where % max(step.shape(0)[axis], 1))
        if axis not in step.reach(0).sized:
            at = at | bits
        elif k in by_content or _row_axis(step, where, axis, anything(bits)) is None:
            at = at | bits | POSITION
    picks = [np.minimum(pick, data.shape[a] - 1) for a, pick in enumerate(picks)]
    found = data[tuple(np.broadcast_arrays(*picks))]
    return [compact(found | at.reshape(at.shape + (1,) * (found.ndim - at.ndim)))]


def _row_axis(step: Step, where: np.ndarray, axis: int, bits: np.uint32) -> int | None:
    """The axis of some indices along which each row's index is into its own part of the data.

    Args:
        step: whose first input is looked up in.
        where: the indices.
        axis: of the data, that they are for; it holds the batch.
        bits: of the indices: they must count positions, and nothing else.
    """
    if not bits & POSITION or bits & (SIZE | STEP | ROWS):
        return None
    part, rest = divmod(step.shape(0)[axis], step.rows)
    if rest:
        return None
    for candidate in range(where.ndim):
        counted = np.moveaxis(where, candidate, -1)
        first = counted[..., :1]
        if (
            counted.shape[-1] == step.rows
            and bool((counted - first == np.arange(step.rows) * part).all())
            and bool(((first >= 0) & (first < part)).all())
        ):
            return candidate
    return None


def _scatter_elements(step: Step) -> list[Bits]:
    """ScatterElements, Scatter: updates are laid over the data and moved along one axis."""
    axis = step.axis(0)
    given = step.bits(1) | step.bits(2)
    spread = [a for a, n in enumerate(step.shape(0)) if a == axis or n != step.shape(1)[a]]
    result = step.bits(0) | merge(given, spread)
    return [result | POSITION if step.reach(0).sized.intersection(spread) else result]


def _scatter_nd(step: Step) -> list[Bits]:
    """ScatterND: updates go to places in the data; what may land somewhere is taken to be there."""
    *lead, places = step.shape(1)
    index = np.broadcast_to(step.bits(1), step.shape(1))
    at = np.zeros(lead, np.uint32)
    kept: tuple[int, int] | None = None
    for k in range(places):
        bits = index[..., k]
        axis = None
        is_whole_row = step.shape(0)[k] == step.rows
        if k in step.reach(0).sized and is_whole_row and not anything(bits) & ROWS:
            axis = _row_axis(step, step.value(1)[..., k], k, anything(bits))
        if axis is not None:
            kept = (axis, k)
        else:
            at = at | bits | (POSITION if k in step.reach(0).sized else NOTHING)
    updates = step.bits(2)
    brought = updates | at.reshape(at.shape + (1,) * (updates.ndim - at.ndim))
    others = [a for a in range(len(lead)) if kept is None or a != kept[0]]
    brought = merge(brought, others)
    target = [1] * places + list(brought.shape[len(lead) :])
    if kept is not None:
        target[kept[1]] = brought.shape[kept[0]]
    return [compact(step.bits(0) | brought.reshape(target))]


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
