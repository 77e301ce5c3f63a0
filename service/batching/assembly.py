"""Tensors of several requests to those of one run, and its outputs back to each request.

Decides nothing. What a run gives is held against what was put into it: an output that has not one
row for each row of the batch belongs to nobody, and is no answer.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from service.batching.queue import Part
from service.engine import Pieces
from service.errors import excerpt

__all__ = ["BatchBroken", "join", "merge", "share"]

Arrays = Mapping[str, np.ndarray]


class BatchBroken(Exception):
    """A run's outputs cannot be given to those whose rows it had."""


def join(parts: Sequence[Part]) -> dict[str, Pieces]:
    """The inputs of a run: the rows of all parts, in order. Nothing is copied yet."""
    if len(parts) == 1:
        return {name: (array,) for name, array in _rows_of(parts[0]).items()}
    rows = [_rows_of(part) for part in parts]
    return {name: [each[name] for each in rows] for name in parts[0].job.inputs}


def share(outputs: Arrays, parts: Sequence[Part]) -> list[Arrays]:
    """What each part has of a run's outputs; views, in the parts' order.

    Raises:
        BatchBroken: an output has not one row for each row of the batch.
    """
    if len(parts) == 1 and parts[0].is_whole:
        return [outputs]
    total = sum(part.rows for part in parts)
    for name, array in outputs.items():
        if not array.ndim or array.shape[0] != total:
            raise BatchBroken(
                f"output {excerpt(name)} has shape {array.shape} for a batch of {total} rows"
            )
    shares: list[Arrays] = []
    start = 0
    for part in parts:
        stop = start + part.rows
        shares.append({name: array[start:stop] for name, array in outputs.items()})
        start = stop
    return shares


def merge(pieces: Sequence[Arrays]) -> Arrays:
    """The outputs of a job from those of its parts, in order."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _rows_of(part: Part) -> Arrays:
    if part.is_whole:
        return part.job.inputs
    return {name: array[part.start : part.stop] for name, array in part.job.inputs.items()}
