"""Runs in this process, on threads that all models share. Orders and joins nothing."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bundle import Interrupt
from service.engine.run import Model, Pieces, Run, Watch

__all__ = ["RunThreads", "ThreadEngine"]


class RunThreads:
    """Threads that run models.

    Args:
        count: runs at the same time.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="run")
        self._interrupts: set[Interrupt] = set()

    @property
    def pending(self) -> int:
        """Runs that have begun or wait."""
        return len(self._interrupts)

    def start(
        self, model: Model, feeds: Mapping[str, Pieces], outputs: Sequence[str]
    ) -> asyncio.Future[Run]:
        """Begin a run as soon as a thread is free; see `Engine`."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Run] = loop.create_future()
        interrupt = Interrupt()
        self._interrupts.add(interrupt)

        def settle(run: Run | None, error: Exception | None) -> None:
            self._interrupts.discard(interrupt)
            if ended.done():  # it was cancelled
                return
            if error is not None:
                ended.set_exception(error)
            elif run is not None:
                ended.set_result(run)

        def work() -> None:
            run = error = None
            begun_ns = time.perf_counter_ns()
            try:
                computed = model.run(_whole(feeds), outputs, interrupt=interrupt)
                run = Run(computed, begun_ns, time.perf_counter_ns())
            # The edge of a thread: whatever it is, it is the answer to whoever waits.
            except Exception as err:  # noqa: BLE001
                error = err
            loop.call_soon_threadsafe(settle, run, error)

        def cancelled(future: asyncio.Future[Run]) -> None:
            if future.cancelled():
                interrupt.set()

        ended.add_done_callback(cancelled)
        self._executor.submit(work)
        return ended

    def close(self) -> None:
        """Take no more runs, drop those that wait, and end those that have begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for interrupt in self._interrupts:
            interrupt.set()


class ThreadEngine:
    """Runs one model on such threads; an `Engine`."""

    def __init__(self, model: Model, *, threads: RunThreads) -> None:
        self.at_once = threads.count
        self.watch = Watch()
        self._model = model
        self._threads = threads

    def start(self, feeds: Mapping[str, Pieces], outputs: Sequence[str]) -> asyncio.Future[Run]:
        """Begin a run; see `Engine`."""
        return self._threads.start(self._model, feeds, outputs)

    async def close(self) -> None:
        """The threads are everybody's, and the model goes with the last that knows it."""


def _whole(feeds: Mapping[str, Pieces]) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        for name, pieces in feeds.items()
    }
