"""Runs in this process, on threads that all models share. Orders and joins nothing."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from bundle import Interrupt
from service.engine.run import Model, Pieces, Run, Watch
from service.errors import EngineFailed

__all__ = ["RunThreads", "ThreadEngine"]

_GRACE_S: Final = 1.0


class RunThreads:
    """Threads that run models.

    Args:
        count: runs at the same time.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="run")
        self._interrupts: set[Interrupt] = set()
        self._ended = threading.Condition()

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
        with self._ended:
            self._interrupts.add(interrupt)

        def settle(run: Run | None, error: Exception | None) -> None:
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
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who waited
                loop.call_soon_threadsafe(settle, run, error)

        def cancelled(future: asyncio.Future[Run]) -> None:
            if future.cancelled():
                interrupt.set()

        ended.add_done_callback(cancelled)
        try:
            submitted = self._executor.submit(work)
        except RuntimeError:  # they are closed
            self._forget(interrupt)
            ended.set_exception(EngineFailed("the server is being stopped"))
        else:
            submitted.add_done_callback(lambda _: self._forget(interrupt))
        return ended

    def _forget(self, interrupt: Interrupt) -> None:
        with self._ended:
            self._interrupts.discard(interrupt)
            self._ended.notify_all()

    def close(self) -> None:
        """Take no more runs, drop those that wait, and end those that have begun.

        Blocks until they have ended, but not for long: one that is in a kernel that takes forever
        cannot be ended.
        """
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._ended:
            going = list(self._interrupts)
        for interrupt in going:
            interrupt.set()
        with self._ended:
            self._ended.wait_for(lambda: not self._interrupts, _GRACE_S)


class ThreadEngine:
    """Runs one model on such threads; an `Engine`.

    Args:
        model: is run.
        threads: run it.
        at_once: runs of it at the same time; as many as there are threads if left out.
    """

    def __init__(self, model: Model, *, threads: RunThreads, at_once: int | None = None) -> None:
        self.at_once = min(at_once or threads.count, threads.count)
        self.ahead = 0  # whichever thread is free takes the next run, of whatever model
        self.is_up = True
        self.pid = None
        self.deaths = 0
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
