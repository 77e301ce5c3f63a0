"""Counts the requests of a model version while they are answered. Reads nothing of them.

All counting is on one thread, the event loop's.
"""

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bundle.errors import RunFailed
from service.errors import (
    EngineFailed,
    InferenceRefused,
    Overloaded,
    RequestQuarantined,
    TimeoutExpired,
)
from service.statistics.counters import Counters, FailureReason
from service.statistics.snapshot import Statistics
from service.statistics.times import ExecutionTimes
from service.tracing.current import Execution, Parts, current_trace

__all__ = ["Passage", "Recorder"]

_NS_A_MS = 1_000_000
_NS_A_SECOND = 1e9

_REASONS: Mapping[type[BaseException], FailureReason] = {
    Overloaded: FailureReason.REJECTED,
    TimeoutExpired: FailureReason.REJECTED,
    asyncio.CancelledError: FailureReason.CANCELED,
    InferenceRefused: FailureReason.BACKEND,
    RunFailed: FailureReason.BACKEND,
    EngineFailed: FailureReason.BACKEND,
    RequestQuarantined: FailureReason.BACKEND,
}
"""Looked up along the class's method resolution order; what is not here is OTHER."""


class Recorder:
    """Keeps the statistics of one loaded version.

    Attributes:
        pending: requests of it that have come and are not answered.
        counters: everything that is counted, of the version and of those that it has replaced.
    """

    def __init__(self) -> None:
        self.pending = 0
        self.counters = Counters()
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, began_ns: int | None = None) -> "Passage":
        """A request has come; it ends with the context that is returned.

        Args:
            began_ns: when it did (`time.perf_counter_ns`, the same for all processes); now if left
                out.
        """
        self.pending += 1
        if self.pending == 1:
            self._idle.clear()
        return Passage(
            self, self.counters, time.perf_counter_ns() if began_ns is None else began_ns
        )

    def end(self) -> None:
        """A request is over. Called by its `Passage`."""
        self.pending -= 1
        if not self.pending:
            self._idle.set()

    def take_over(self, before: "Recorder") -> None:
        """Go on with the counts of the version that this one replaces.

        Its requests that have begun are still counted, into the same; how many are pending is each
        one's own.
        """
        self.counters = before.counters

    async def wait_until_idle(self) -> None:
        """Return when no request is pending."""
        await self._idle.wait()

    @property
    def statistics(self) -> Statistics:
        """The counts now; a value of its own each time."""
        return self.counters.statistics()


class Passage:
    """One request on its way, as a context that counts how it ended.

    An exception that leaves the context is a failure; without one the request was answered. In
    between it is told when the request was decoded and what its run took.
    """

    __slots__ = (
        *("_batch", "_began", "_computed", "_counters", "_decoded", "_inferences", "_recorder"),
        "_times",
    )

    def __init__(self, recorder: Recorder, counters: Counters, began_ns: int) -> None:
        self._recorder = recorder
        self._counters = counters
        self._times: ExecutionTimes | None = None
        self._inferences = 0
        counters.begun += 1
        self._began = self._decoded = self._computed = began_ns

    def decoded(self) -> None:
        """The request was taken apart: from here on it is the data plane's."""
        self._decoded = time.perf_counter_ns()

    def computed(self, times: ExecutionTimes, *, rows: int, inferences: int) -> None:
        """The model has run.

        Args:
            times: of the run.
            rows: of this request.
            inferences: that this request is.
        """
        counters = self._counters
        self._computed = time.perf_counter_ns()
        self._times = times
        self._inferences = inferences
        size = times.batch_size
        self._batch = counters.batch(inferences if size is None else size)
        if times.first_row == 0:
            counters.runs += 1
            counters.rows.add(rows if size is None else size)
            counters.last_ms = time.time_ns() // _NS_A_MS
            self._batch.runs += 1
            self._batch.compute_ns += times.compute

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(exc_type)

    def end(self, error: type[BaseException] | None = None) -> None:
        """The request is over: what leaving the context does.

        Args:
            error: why it was not answered.
        """
        self._recorder.end()
        took = time.perf_counter_ns() - self._began
        counters, times = self._counters, self._times
        trace = current_trace()
        if trace is not None:
            trace.passed(self._parts(ended_ns=self._began + took))
        if error is not None or times is None:
            counters.fail_ns += took
            counters.failures[_reason(error)] += 1
            return
        taken_apart = self._decoded - self._began
        written = self._began + took - self._computed
        counters.answered += 1
        counters.success_ns += took
        counters.inferences += self._inferences
        counters.queue_ns += times.queue
        counters.compute_ns += times.compute
        counters.input_ns += taken_apart
        counters.output_ns += written
        self._batch.input_ns += taken_apart
        self._batch.output_ns += written
        counters.requests.add(took / _NS_A_SECOND)
        counters.queue.add(times.queue / _NS_A_SECOND)

    def _parts(self, *, ended_ns: int) -> Parts:
        execution, times = None, self._times
        if times is not None:
            execution = Execution(
                queue_ns=times.queue,
                run_ns=times.compute,
                batch_size=times.batch_size,
                first_row=times.first_row,
            )
        return Parts(
            began_ns=self._began,
            decoded_ns=self._decoded,
            computed_ns=self._computed,
            ended_ns=ended_ns,
            execution=execution,
        )


def _reason(kind: type[BaseException] | None) -> FailureReason:
    if kind is None:  # the context ended before anything was computed
        return FailureReason.OTHER
    found = _REASONS.get(kind)
    if found is not None:  # mostly: that of requests that are turned away
        return found
    return next((_REASONS[each] for each in kind.__mro__ if each in _REASONS), FailureReason.OTHER)
