"""How often a model version was asked, and how long each part took.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md.
Counts and nanoseconds only grow, as Triton's do. Requests and executions are counted on one thread,
that of the event loop; anybody may read.
"""

import asyncio
import time
from dataclasses import dataclass, field, replace

__all__ = ["Duration", "ExecutionTimes", "Recorder", "Statistics"]

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def plus(self, ns: int) -> "Duration":
        """The same with one more."""
        return Duration(self.count + 1, self.ns + ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTimes:
    """Of one run of a model, in nanoseconds.

    Attributes:
        queue: waiting for a thread to run on.
        compute: running.
    """

    queue: int
    compute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of one model version since it was loaded.

    Attributes:
        last_inference_ms: when the last request was answered, in milliseconds since 1970; 0 where
            none was.
        inference_count: inferences that were computed: requests, as long as none share a run.
        execution_count: runs of the model.
        success: requests that were answered, from the data plane's door on.
        fail: requests that the model could not compute, or had no place for.
        queue: waiting for a run.
        compute: running.
    """

    last_inference_ms: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = field(default=Duration())
    fail: Duration = field(default=Duration())
    queue: Duration = field(default=Duration())
    compute: Duration = field(default=Duration())


class Recorder:
    """Keeps the statistics of one version.

    Attributes:
        statistics: as they are now; a value of its own each time.
        pending: requests that have come and are not answered.
    """

    def __init__(self) -> None:
        self.statistics = Statistics()
        self.pending = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_until_idle(self) -> None:
        """Return when no request is pending."""
        await self._idle.wait()

    def begin(self) -> int:
        """A request has come.

        Returns:
            When, for the end of it.
        """
        self.pending += 1
        self._idle.clear()
        return time.perf_counter_ns()

    def succeed(self, begun: int, times: ExecutionTimes) -> None:
        """It was answered."""
        self._end()
        now = self.statistics
        self.statistics = replace(
            now,
            last_inference_ms=time.time_ns() // _MS,
            inference_count=now.inference_count + 1,
            execution_count=now.execution_count + 1,
            success=now.success.plus(time.perf_counter_ns() - begun),
            queue=now.queue.plus(times.queue),
            compute=now.compute.plus(times.compute),
        )

    def fail(self, begun: int) -> None:
        """It was not, or nobody waits for the answer any more."""
        self._end()
        failed = self.statistics.fail.plus(time.perf_counter_ns() - begun)
        self.statistics = replace(self.statistics, fail=failed)

    def _end(self) -> None:
        self.pending -= 1
        if not self.pending:
            self._idle.set()
