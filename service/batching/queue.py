"""What waits for a run of one model, and which of it runs together next. Runs nothing.

Requests share a run only if the run is the same for both: the same wanted outputs, and the same
shapes behind axis 0. Each such kind waits in a bucket of its own; the bucket whose first request is
the most urgent goes next, so that a rare shape does not wait behind a common one.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from service.runner import Computed

__all__ = ["LEAST_URGENT", "Job", "Part", "Queue"]

LEAST_URGENT: Final = math.inf
"""The urgency of a request that says none: after those that do."""

_MOST_PARTS: Final = 64

Key = tuple[object, ...]


class Job:
    """One request's tensors, on their way through one run or several.

    Args:
        inputs: an array for each input of the model.
        outputs: the names that are wanted.
        urgency: smaller goes first; `LEAST_URGENT` where the request says nothing.
        submitted_ns: when it came.
        answer: what its caller waits for.

    Attributes:
        rows: along axis 0; ``None`` where the inputs have no common one, so that the request can
            share no run.
        size: bytes of the inputs.
        key: what it has in common with those that it may share a run with.
        computed: of its parts, in order; ``None`` for those that have not run.
        missing: how many those are.
    """

    __slots__ = (
        "answer",
        "computed",
        "inputs",
        "key",
        "missing",
        "outputs",
        "rows",
        "size",
        "submitted_ns",
        "urgency",
    )

    def __init__(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: tuple[str, ...],
        *,
        urgency: float,
        submitted_ns: int,
        answer: asyncio.Future[Computed],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.urgency = urgency
        self.submitted_ns = submitted_ns
        self.answer = answer
        self.rows = _common_rows(inputs)
        self.size = sum(map(_size, inputs.values()))
        self.key: Key = (
            (id(self),)
            if self.rows is None
            else (outputs, *((name, inputs[name].shape[1:]) for name in sorted(inputs)))
        )
        self.computed: list[Computed | None] = []
        self.missing = 0

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answer.done()

    def parts(self, most: int) -> list["Part"]:
        """The job in pieces of at most so many rows.

        In one piece where it cannot be cut, where there would be nothing in the pieces, and where
        they would be many: what one request has then is a good batch of its own.
        """
        rows = self.rows or 0
        is_cut = self.size > 0 and 0 < most < rows <= most * _MOST_PARTS
        starts = range(0, rows, most) if is_cut else range(1)
        self.computed = [None] * len(starts)
        self.missing = len(starts)
        if len(starts) == 1:
            return [Part(self, 0, 0, rows)]
        return [
            Part(self, index, start, min(start + most, rows)) for index, start in enumerate(starts)
        ]


class Part:
    """Some rows of a job, as they run together: mostly all of them.

    Attributes:
        job: whose rows they are.
        index: of the part among the job's.
        start: the first row.
        stop: the row behind the last one.
    """

    __slots__ = ("_computed", "index", "job", "start", "stop")

    def __init__(self, job: Job, index: int, start: int, stop: int) -> None:
        self.job = job
        self.index = index
        self.start = start
        self.stop = stop
        self._computed = job.computed

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.stop - self.start

    @property
    def is_stale(self) -> bool:
        """Whether the job was begun anew, in other parts."""
        return self._computed is not self.job.computed

    def answer(self, computed: Computed) -> None:
        """What it has of a run."""
        self._computed[self.index] = computed
        self.job.missing -= 1

    @property
    def is_whole(self) -> bool:
        """Whether they are all rows of the job."""
        return len(self.job.computed) == 1


Entry = tuple[float, int, Part]


class _Bucket:
    """Parts that may run together, the most urgent first."""

    __slots__ = ("entries", "rows")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.rows = 0

    @property
    def first(self) -> Entry:
        return self.entries[0]

    def add(self, entry: Entry) -> None:
        heapq.heappush(self.entries, entry)
        self.rows += entry[2].rows

    def pop(self) -> Part:
        part = heapq.heappop(self.entries)[2]
        self.rows -= part.rows
        return part

    def discard(self, job: Job) -> None:
        self.entries = [entry for entry in self.entries if entry[2].job is not job]
        heapq.heapify(self.entries)
        self.rows = sum(part.rows for _, _, part in self.entries)


class Queue:
    """Parts that wait. For one thread."""

    def __init__(self) -> None:
        self._buckets: dict[Key, _Bucket] = {}
        self._places = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._buckets)

    @property
    def oldest_ns(self) -> int:
        """When the first of those that go next came; there is one."""
        return self._buckets[self._next()].first[2].job.submitted_ns

    @property
    def rows(self) -> int:
        """Rows that wait to run together with those that go next; 0 where nothing waits."""
        return self._buckets[self._next()].rows if self._buckets else 0

    def add(self, part: Part) -> None:
        """It waits from now on."""
        bucket = self._buckets.setdefault(part.job.key, _Bucket())
        bucket.add((part.job.urgency, next(self._places), part))

    def take(self, most: int) -> list[Part]:
        """Those that run next, together; none where nothing waits.

        Args:
            most: rows that may run together; with 1 or less, each part runs alone. A part that has
                more rows itself runs alone, too.
        """
        while self._buckets:
            key = self._next()
            bucket = self._buckets[key]
            taken = _fill(bucket, most)
            if not bucket.entries:
                del self._buckets[key]
            if taken:
                return taken
        return []

    def discard(self, job: Job) -> None:
        """Forget a job that is over, so that its tensors go now and not when its turn comes."""
        bucket = self._buckets.get(job.key)
        if bucket is None:
            return
        bucket.discard(job)
        if not bucket.entries:
            del self._buckets[job.key]

    def _next(self) -> Key:
        buckets = self._buckets
        if len(buckets) == 1:
            return next(iter(buckets))
        return min(buckets, key=lambda key: buckets[key].first[:2])


def _fill(bucket: _Bucket, most: int) -> list[Part]:
    """Take the most urgent parts that may run together out of a bucket, and whatever is over."""
    taken: list[Part] = []
    rows = 0
    while bucket.entries:
        part = bucket.first[2]
        if taken and not part.job.is_over and (not part.rows or rows + part.rows > most):
            break
        bucket.pop()
        if part.job.is_over:
            continue
        taken.append(part)
        rows += part.rows
        if not rows:
            break  # no rows at all are a shape of their own
    return taken


def _common_rows(inputs: Mapping[str, np.ndarray]) -> int | None:
    rows = None
    for array in inputs.values():
        if not array.ndim or rows not in (None, array.shape[0]):
            return None
        rows = array.shape[0]
    return rows


def _size(array: np.ndarray) -> int:
    """Bytes of an array; those of BYTES have a pointer for each element, even an empty one."""
    return array.nbytes + (sum(map(len, array.flat)) if array.dtype.hasobject else 0)
