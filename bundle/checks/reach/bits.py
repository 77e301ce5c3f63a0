"""What may have gone into an element of a tensor, as bits. Knows no operator and no file.

The batch that is followed has a handful of rows. Each element of each tensor carries a set of bits:
one for each row whose content may have gone into it, and four for what is not content:

``POSITION``  the value depends on where in the batch its row stands (a counter along the batch).
``SIZE``      it depends on how many rows there are.
``STEP``      it depends on one of these two in jumps (a comparison, a minimum, a rounding), so
              that one size says nothing of another.
``RANDOM``    it is another value in every run.

A row's answer is its own if its elements carry that row's bit and no other.

A tensor that grows with the batch and has an element with no bit has the same value there for every
row. Bits are held broadcast: an axis along which they are the same has length 1, whatever the
tensor's length is. A convolution's output of a million elements is ``(rows, 1, 1, 1)``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bundle.certificate import Operator

__all__ = [
    "MARKS",
    "MOST_ROWS",
    "NOTHING",
    "POSITION",
    "RANDOM",
    "ROWS",
    "SIZE",
    "STEP",
    "Bits",
    "Reach",
    "anything",
    "by_row",
    "compact",
    "folded",
    "foulness",
    "merge",
    "nothing",
    "picked",
    "reshape",
]

Bits = np.ndarray
"""``uint32``, of the tensor's rank; each axis has the tensor's length or 1."""

NOTHING = np.uint32(0)
RANDOM = np.uint32(1 << 28)
POSITION = np.uint32(1 << 29)
SIZE = np.uint32(1 << 30)
STEP = np.uint32(1 << 31)
MARKS = RANDOM | POSITION | SIZE | STEP
MOST_ROWS = 16
ROWS = np.uint32((1 << MOST_ROWS) - 1)


@dataclass(frozen=True, slots=True)
class Reach:
    """What is known of one tensor.

    Attributes:
        bits: of its elements.
        shape: of the tensor, for the batch that is followed; None where it is no tensor.
        sized: the axes that are longer in a larger batch.
        shaped: what its shape depends on beyond the sizes of the inputs (rows, if it is as long as
            the content of a row says).
        even: whether all its elements are the same.
        below: for integers, what they are less than (and 0 or more); None where that is not known.
        part: for one index a row: it points into the row's own part of a flattened batch, which is
            this long.
        cause: the operator that first brought a row together with another, or with its position.
        moved: the operator that last moved rows from one place to another.
    """

    bits: Bits
    shape: tuple[int, ...] | None
    sized: frozenset[int] = frozenset()
    shaped: np.uint32 = NOTHING
    even: bool = False
    below: int | None = None
    part: int | None = None
    cause: Operator | None = None
    moved: Operator | None = None

    @property
    def has_rows(self) -> bool:
        """Whether anything of any row is in it."""
        return bool(anything(self.bits) & ROWS)


def nothing(rank: int) -> Bits:
    """The bits of a constant."""
    return np.zeros((1,) * rank, np.uint32)


def anything(bits: Bits) -> np.uint32:
    """What went into any element."""
    return np.uint32(np.bitwise_or.reduce(bits, axis=None)) if bits.size else NOTHING


def by_row(shape: tuple[int, ...], *, axis: int, rows: int) -> Bits:
    """The bits of a tensor whose axis holds the rows one after another, each as long as another.

    Args:
        shape: of the tensor.
        axis: the one that holds the batch; its length is a multiple of ``rows``.
        rows: of the batch.
    """
    each = np.arange(shape[axis], dtype=np.uint32) * rows // max(shape[axis], 1)
    bits = np.left_shift(np.uint32(1), each, dtype=np.uint32)
    return bits.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def merge(bits: Bits, axes: Iterable[int]) -> Bits:
    """The bits where every element along some axes goes into each result; the axes stay, as 1."""
    return np.bitwise_or.reduce(bits, axis=tuple(axes), keepdims=True, dtype=np.uint32)


def compact(bits: Bits) -> Bits:
    """The same bits with each axis along which they do not change cut to length 1."""
    for axis in range(bits.ndim):
        if bits.shape[axis] > 1:
            first = bits[(slice(None),) * axis + (slice(0, 1),)]
            if (bits == first).all():
                bits = first
    return bits


def reshape(bits: Bits, before: tuple[int, ...], after: tuple[int, ...]) -> Bits:
    """The bits of a reshaped tensor, in row-major order.

    Args:
        bits: of the tensor.
        before: its shape.
        after: its new shape, with as many elements.
    """
    if 0 in before:
        return np.full((1,) * len(after), anything(bits), np.uint32)
    parts: list[tuple[int, ...]] = []
    full: list[tuple[int, ...]] = []
    for old, new in _blocks(before, after):
        is_plain = all(bits.shape[axis] == 1 for axis in old)
        parts.append(tuple(1 if is_plain else after[axis] for axis in new))
        full.append(tuple(1 if is_plain else before[axis] for axis in old))
    expanded = np.broadcast_to(bits, tuple(n for part in full for n in part))
    return compact(expanded.reshape(tuple(n for part in parts for n in part)))


def folded(before: tuple[int, ...], after: tuple[int, ...]) -> set[int]:
    """The axes that a reshape folds together with others, or apart."""
    blocks = _blocks(before, after)
    return {
        axis
        for old, new in blocks
        for axis in old
        if [before[a] for a in old if before[a] > 1] != [after[a] for a in new if after[a] > 1]
    }


def picked(bits: Bits) -> Bits:
    """The bits where a part of the batch is picked: which rows, depends on their positions.

    What belongs to no row is the same all along the batch.
    """
    result: Bits = np.where(bits & ROWS, bits | POSITION, bits)
    return result


def foulness(bits: Bits) -> int:
    """How far elements are from being a row's own.

    Returns:
        2 if two rows are in one element, or a row and its position, or something random; 1 if a row
        and the batch's size are; else 0.
    """
    each = np.atleast_1d(bits)
    rows = each & ROWS
    several = rows & (rows - np.uint32(1)) != 0
    placed = (rows != 0) & (each & POSITION != 0)
    if (several | placed | (each & RANDOM != 0)).any():
        return 2
    return int(bool(((rows != 0) & (each & (SIZE | STEP) != 0)).any()))


def _blocks(
    before: tuple[int, ...], after: tuple[int, ...]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The smallest groups of neighbouring axes that hold the same elements before and after."""
    blocks: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [i] if i < len(before) else [], [j] if j < len(after) else []
        i, j = i + len(old), j + len(new)
        while (have := math.prod(before[a] for a in old)) != (
            want := math.prod(after[a] for a in new)
        ):
            if have < want:
                old.append(i)
                i += 1
            else:
                new.append(j)
                j += 1
        blocks.append((tuple(old), tuple(new)))
    return blocks
