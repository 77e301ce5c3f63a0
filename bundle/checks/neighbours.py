"""Batches that might make a row move: neighbours of every kind, in every place."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bundle.certificate import Neighbours
from bundle.checks.rows import Pool
from bundle.checks.subject import Feeds
from bundle.tensors import Datatype

__all__ = ["LOUDNESS", "Batch", "batches"]

LOUDNESS = 1e4
"""How many times louder a loud neighbour is than the row that it is made of."""


_HOSTILE = frozenset({Neighbours.ZEROS, Neighbours.LOUD, Neighbours.NAN, Neighbours.INFINITE})
_FLOATS_ONLY = frozenset({Neighbours.NAN, Neighbours.INFINITE})
_EVERY_PLACE_ALONE = 3
"""In batches up to this size a row also stands alone among hostile ones, in every place."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch and which of its rows are looked at.

    Attributes:
        feeds: by input.
        targets: place in the batch → row of the pool that stands there unchanged.
    """

    feeds: Feeds
    targets: dict[int, int]


def batches(
    pool: Pool, neighbours: Neighbours, *, size: int, generator: np.random.Generator
) -> Iterator[Batch]:
    """The batches of one size with neighbours of one kind; none where the inputs have no such kind.

    Args:
        pool: the rows; at least as many as ``size``.
        neighbours: of which kind.
        size: rows of each batch.
        generator: of the random order.
    """
    if neighbours in _HOSTILE:
        yield from _hostile(pool, neighbours, size)
        return
    forwards = [place % pool.rows for place in range(size)]
    orders = {
        Neighbours.DISTINCT: [forwards, [(pool.rows - 1 - row) % pool.rows for row in forwards]],
        Neighbours.PERMUTED: [generator.permutation(pool.rows)[:size].tolist()],
        Neighbours.DUPLICATES: [[size % pool.rows] * size, [row // 2 for row in forwards]],
    }[neighbours]
    for order in orders:
        yield Batch(pool.take(order), dict(enumerate(order)))


def _hostile(pool: Pool, neighbours: Neighbours, size: int) -> Iterator[Batch]:
    kinds = [Datatype.from_numpy(array.dtype) for array in pool.arrays.values()]
    if neighbours in _FLOATS_ONLY and not any(kind.is_float for kind in kinds):
        return
    places = [range(0, size, 2), range(1, size, 2)]
    if size == _EVERY_PLACE_ALONE:
        places = [range(place, place + 1) for place in range(size)]
    for shift, kept in enumerate(places):
        order = [(place + shift) % pool.rows for place in range(size)]
        feeds = pool.take(order)
        others = [place for place in range(size) if place not in kept]
        for name, array in feeds.items():
            array[others] = _made(array[others], pool.arrays[name], neighbours)
        yield Batch(feeds, {place: order[place] for place in kept})


def _made(rows: np.ndarray, all_rows: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    kind = Datatype.from_numpy(rows.dtype)
    if kind is Datatype.BYTES:
        return rows
    if not kind.is_float:
        if neighbours is Neighbours.ZEROS:
            return np.full_like(rows, min(max(0, all_rows.min()), all_rows.max()))
        return np.full_like(rows, all_rows.max()) if neighbours is Neighbours.LOUD else rows
    if neighbours is Neighbours.LOUD:
        with np.errstate(over="ignore"):  # float16 becomes infinite: loud enough
            return (rows.astype(np.float64) * LOUDNESS).astype(rows.dtype)
    value = {Neighbours.ZEROS: 0.0, Neighbours.NAN: np.nan, Neighbours.INFINITE: np.inf}[neighbours]
    return np.full_like(rows, value)
