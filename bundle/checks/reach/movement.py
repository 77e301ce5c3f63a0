"""Operators that put elements in other places, whatever they are."""

from collections.abc import Mapping

import numpy as np

from bundle.checks.reach.bits import (
    NOTHING,
    POSITION,
    STEP,
    Bits,
    by_row,
    compact,
    folded,
    nothing,
    picked,
    reshape,
)
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]

_TO_THE_END = 1 << 31


def _transpose(step: Step) -> list[Bits]:
    rank = step.rank(0)
    return [step.bits(0).transpose(step.attribute("perm", range(rank)[::-1]))]


def _reshape(step: Step) -> list[Bits]:
    """Reshape, Flatten, Squeeze, Unsqueeze: the same elements in the same order."""
    reach = step.reach(0)
    before, after = step.shape(0), step.out()
    bits = reach.bits
    if not reach.even and 0 not in before:
        for axis in sorted(reach.sized & folded(before, after)):
            bits = _owned(bits, before, axis, rows=step.rows)
    return [reshape(bits, before, after)]


def _owned(bits: Bits, shape: tuple[int, ...], axis: int, *, rows: int) -> Bits:
    """What belongs to no row is the same for each: each copy is taken for its row's own.

    Nothing else could tell after a Reshape whether the rows are still apart.
    """
    own = by_row(shape, axis=axis, rows=rows) if shape[axis] % rows == 0 else POSITION
    owned: Bits = np.where(bits == 0, own, bits)
    return owned


def _expand(step: Step) -> list[Bits]:
    """Expand: an axis of length 1 is repeated."""
    bits = step.bits(0)
    return [bits.reshape((1,) * (len(step.out()) - bits.ndim) + bits.shape)]


def _tile(step: Step) -> list[Bits]:
    bits, shape, out = step.bits(0), step.shape(0), step.out()
    for axis, count in enumerate(n // max(before, 1) for n, before in zip(out, shape, strict=True)):
        if bits.shape[axis] > 1 and count != 1:
            bits = np.concatenate([bits] * count, axis)
        is_pattern = axis in step.sized[0] and shape[axis] > 1 and count != 1
        if is_pattern and not step.reach(0).even:
            bits = _owned(bits, out, axis, rows=step.rows)
    return [bits]


def _concat(step: Step) -> list[Bits]:
    given = [i for i in range(len(step.inputs)) if step.has(i)]
    rank = step.rank(given[0])
    axis = step.axis(rank=rank)
    with_length = [i for i in given if step.shape(i)[axis]]
    is_sized = [axis in step.reach(i).sized for i in with_length]
    parts = []
    for position in given:
        shape = step.shape(position)
        bits = step.bits(position)
        if len(with_length) > 1 and axis in step.reach(position).sized:
            bits = _owned(bits, shape, axis, rows=step.rows)
        full = list(bits.shape)
        full[axis] = shape[axis]
        parts.append(np.broadcast_to(bits, full))
    common = [max(n) for n in zip(*(part.shape for part in parts), strict=True)]
    widened = [
        np.broadcast_to(part, [*common[:axis], part.shape[axis], *common[axis + 1 :]])
        for part in parts
    ]
    result = compact(np.concatenate(widened, axis))
    # rows or constants of a fixed number before or behind the batch
    return [result | POSITION if any(is_sized) and not all(is_sized) else result]


def _split(step: Step) -> list[Bits]:
    axis = step.axis(0)
    bits = step.bits(0)
    lengths = [step.out(i)[axis] for i in range(len(step.shapes))]
    results = []
    start = 0
    for position, length in enumerate(lengths):
        part = bits
        if bits.shape[axis] > 1:
            part = compact(_cut(bits, axis, start, start + length))
        if axis in step.reach(0).sized and length != step.shape(0)[axis]:
            even = axis in step.sized[position] and len(set(lengths)) == 1
            part = part if even else picked(part)
        start += length
        results.append(part)
    return results


def _slice(step: Step) -> list[Bits]:
    bits, shape = step.bits(0), step.shape(0)
    rank = len(shape)
    starts, ends, axes, steps = _bounds(step, rank)
    marks = NOTHING
    is_part = False
    for position, axis in enumerate(axes):
        start, end, stride = starts[position], ends[position], steps[position]
        is_sized = axis in step.reach(0).sized
        if is_sized and not _is_whole(step, start, end, stride, length=shape[axis]):
            is_part = True
        elif axis in step.sized[0] and not is_sized and shape[axis] > 1:
            marks |= POSITION  # as much of a constant table as there are rows
        if bits.shape[axis] > 1:
            places = np.arange(shape[axis])[_slice_of(start, end, stride)]
            bits = bits.take(places, axis)
    return [compact(picked(bits) if is_part else bits) | marks]


def _bounds(step: Step, rank: int) -> tuple[list[int], list[int], list[int], list[int]]:
    if step.attribute("starts") is not None:  # below opset 10
        starts, ends = list(step.attribute("starts")), list(step.attribute("ends"))
        axes = list(step.attribute("axes") or range(len(starts)))
        steps = [1] * len(starts)
    else:
        starts, ends = step.value(1).tolist(), step.value(2).tolist()
        axes = step.value(3).tolist() if step.has(3) else list(range(len(starts)))
        steps = step.value(4).tolist() if step.has(4) else [1] * len(starts)
    return starts, ends, [axis % rank for axis in axes], steps


def _slice_of(start: int, end: int, stride: int) -> slice:
    if stride < 0 and end < -_TO_THE_END:
        return slice(start, None, stride)
    return slice(start, end, stride)


def _is_whole(step: Step, start: int, end: int, stride: int, *, length: int) -> bool:
    """Whether a slice along the batch keeps all of it, whatever its size."""
    if (start, stride) != (0, 1) or end < length:
        return False
    return end >= _TO_THE_END - 1 or (bool(step.marks(2)) and not step.marks(2) & STEP)


def _pad(step: Step) -> list[Bits]:
    bits, shape, out = step.bits(0), step.shape(0), step.out()
    pads = step.attribute("pads")
    amounts = list(pads) if pads is not None else step.value(1).tolist()
    rank = len(shape)
    axes = [axis % rank for axis in step.value(3).tolist()] if step.has(3) else list(range(rank))
    mode = step.attribute("mode", b"constant").decode()
    marks = step.all_of(2)
    for position, axis in enumerate(axes):
        before, after = amounts[position], amounts[position + len(axes)]
        if (before, after) == (0, 0):
            continue
        if axis in step.reach(0).sized or axis in step.sized[0]:
            marks |= POSITION
        if bits.shape[axis] > 1:
            bits = _padded(bits, axis, before, after, mode=mode)
        elif mode == "constant" and shape[axis] == 0 and out[axis]:
            bits = nothing(rank)
    return [compact(bits) | marks]


def _padded(bits: Bits, axis: int, before: int, after: int, *, mode: str) -> Bits:
    cut = _cut(bits, axis, max(-before, 0), bits.shape[axis] - max(-after, 0))
    width = [(0, 0)] * bits.ndim
    width[axis] = (max(before, 0), max(after, 0))
    if mode == "constant":
        padded: Bits = np.pad(cut, width)
    elif mode == "reflect":
        padded = np.pad(cut, width, mode="reflect")
    else:
        padded = np.pad(cut, width, mode="wrap" if mode == "wrap" else "edge")
    return padded


def _trilu(step: Step) -> list[Bits]:
    """Trilu: zeroes by position in the last two axes."""
    last = {step.rank(0) - 2, step.rank(0) - 1}
    return [step.bits(0) | POSITION if last & step.reach(0).sized else step.bits(0)]


def _reverse_sequence(step: Step) -> list[Bits]:
    time, batch = step.attribute("time_axis", 0), step.attribute("batch_axis", 1)
    rank = step.rank(0)
    lengths = step.bits(1).reshape([-1 if axis == batch else 1 for axis in range(rank)])
    return [step.merged(0, [time]) | lengths]


def _resize(step: Step) -> list[Bits]:
    """Resize, Upsample, CenterCropPad: neighbours along each axis that changes its length."""
    before, after = step.shape(0), step.out()
    axes = [axis for axis, n in enumerate(before) if n != after[axis]]
    merged = step.merged(0, axes)
    across = step.reach(0).sized.intersection(axes) or step.sized[0].intersection(axes)
    return [merged | POSITION if across else merged]


def _compress(step: Step) -> list[Bits]:
    """Compress: which elements stay depends on a condition."""
    rank = step.rank(0)
    axis = step.attribute("axis")
    axes = range(rank) if axis is None else [axis % rank]
    merged = step.merged(0, axes) | step.all_of(1)
    if step.reach(0).sized.intersection(axes):
        merged = merged | POSITION
    return [merged if axis is not None else merged.reshape(1)]


def _cut(bits: Bits, axis: int, start: int, end: int) -> Bits:
    cut: Bits = bits[(slice(None),) * axis + (slice(start, end),)]
    return cut


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Resize", "Upsample", "CenterCropPad"), _resize),
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Trilu": _trilu,
    "ReverseSequence": _reverse_sequence,
    "Compress": _compress,
}
"""By operator."""
