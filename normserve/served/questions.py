"""What a served model is asked, and what it should answer: the session's own answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bundle import OpenModel
from bundle.checks import Feeds, Subject
from bundle.checks.batch import NotBatchable, batch_of
from bundle.checks.parity import feeds_of
from bundle.checks.rows import pools

__all__ = ["Question", "questions"]

_POOL_ROWS = 8
_ROWS = (1, 2, 3, 5)
"""Of requests that are sent at the same time: several sizes, which do not divide each other."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request and its answer.

    Attributes:
        feeds: the inputs.
        answer: what a session in this process gives for exactly these.
        seconds: what that took.
    """

    feeds: Feeds
    answer: Mapping[str, np.ndarray]
    seconds: float

    @property
    def bytes(self) -> int:
        """Of all tensors together, as they are in memory."""
        return sum(array.nbytes for array in (*self.feeds.values(), *self.answer.values()))


def questions(subject: Subject, opened: OpenModel) -> tuple[Question, ...]:
    """Samples as they are, and, where the model has a batch, requests of several numbers of rows.

    Raises:
        InputInvalid: there are no samples, and no input was found that the model can compute.
        RunFailed: the model failed while it ran.
    """
    return tuple(
        _ask(opened, feeds) for feeds in (*feeds_of(subject, opened), *_mixed_rows(subject, opened))
    )


def _mixed_rows(subject: Subject, opened: OpenModel) -> Sequence[Feeds]:
    try:
        batch = batch_of(subject, opened.inputs)
    except NotBatchable:
        return ()
    pool = pools(subject, opened, rows=min(_POOL_ROWS, batch.maximum or _POOL_ROWS))[0]
    sizes = [size for size in _ROWS if size <= pool.rows]
    return [pool.take([(size + i) % pool.rows for i in range(size)]) for size in sizes]


def _ask(opened: OpenModel, feeds: Feeds) -> Question:
    began = time.perf_counter()
    answer = opened.run(feeds)
    return Question(feeds, answer, time.perf_counter() - began)
