"""What computes: arrays in, arrays out, off the event loop. Knows nothing of requests or models.

`InProcessRunner` is the one kind there is now: a session in this process, on a thread of a pool
that all models share.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bundle.errors import InputInvalid
from service.errors import InferenceRefused, Overloaded
from service.statistics import ExecutionTimes

__all__ = ["Computed", "InProcessRunner", "Model", "RunPool", "Runner"]


@dataclass(frozen=True, slots=True)
class Computed:
    """What a run gave.

    Attributes:
        outputs: those that were wanted, by name.
        times: that it took.
    """

    outputs: Mapping[str, np.ndarray]
    times: ExecutionTimes


class Runner(Protocol):
    """Computes one model version."""

    async def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Computed:
        """Compute the wanted outputs.

        Raises:
            InferenceRefused: the model cannot compute these values.
            Overloaded: too many wait already.
        """
        ...


class Model(Protocol):
    """What `InProcessRunner` runs: `bundle.OpenModel`, or a test's."""

    def run(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Compute the wanted outputs, on the calling thread."""
        ...


class RunPool:
    """Threads that run models, and a bound on what waits for them.

    Args:
        threads: runs at the same time.
        max_waiting: runs that may wait beside those.
    """

    def __init__(self, *, threads: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._capacity = threads + max_waiting
        self._pending = 0
        self._lock = threading.Lock()

    async def run(
        self, model: Model, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> Computed:
        """Run a model on a thread.

        A caller that is cancelled takes its run with it while that is waiting. One that has begun
        cannot be stopped: it ends by itself, and nobody gets its result.

        Raises:
            Overloaded: too many wait already.
        """
        with self._lock:
            if self._pending >= self._capacity:
                raise Overloaded(
                    f"{self._pending} requests are being computed or waiting, as many as may;"
                    " try again later"
                )
            self._pending += 1
        future = self._executor.submit(_timed, model, inputs, outputs, time.perf_counter_ns())
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    @property
    def pending(self) -> int:
        """Runs that have begun or wait."""
        return self._pending

    def close(self) -> None:
        """Take no more runs and drop those that wait; those that have begun end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _release(self, _: Future[Computed]) -> None:
        with self._lock:
            self._pending -= 1


def _timed(
    model: Model, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], submitted_ns: int
) -> Computed:
    begun_ns = time.perf_counter_ns()
    computed = model.run(inputs, outputs)
    times = ExecutionTimes(queue=begun_ns - submitted_ns, compute=time.perf_counter_ns() - begun_ns)
    return Computed(computed, times)


class InProcessRunner:
    """Runs a model in this process."""

    def __init__(self, model: Model, *, pool: RunPool) -> None:
        self._model = model
        self._pool = pool

    async def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Computed:
        """Compute the wanted outputs; see `Runner`."""
        try:
            return await self._pool.run(self._model, inputs, outputs)
        except InputInvalid as err:
            raise InferenceRefused(str(err)) from err
