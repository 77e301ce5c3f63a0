"""A worker process: one model, and a thread for each run at the same time. Orders nothing.

These threads take runs off one line in turn: each waits for a message, runs the model with what
lies in the area that it names, lays out there what that gave, and says so. The main thread opens
the model, and ends runs. Nothing here outlives the server: a line whose other end is gone ends the
process.
"""

import os
import resource
import select
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NoReturn

from bundle import BundleError, Interrupt, OpenModel, RunFailed, open_model
from bundle.memory import release_memory
from service.engine.area import Area
from service.engine.messages import End, Failed, Open, Opened, Ran, Start

__all__ = ["Lanes", "be_worker", "work"]

_SACRIFICE = Path("/proc/self/oom_score_adj")
_IDLE_S: Final = 2.0
"""Without anything to run, until what runs have taken is given back."""


class Lanes:
    """Runs, one on each thread that serves here.

    Args:
        line: to the server.
        areas: shared with it.
    """

    def __init__(self, line: Connection, areas: Sequence[Area]) -> None:
        self._line = line
        self._areas = areas
        self._receiving = threading.Lock()
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._going: dict[int, Interrupt] = {}
        self._newest = 0
        self._to_end: set[int] = set()

    def end_run(self, number: int) -> None:
        """End a run: one that is going on, or will begin; one that is over is none of them."""
        with self._ending:
            if number in self._going:
                self._going[number].set()
            elif number > self._newest:
                self._to_end.add(number)

    def serve(self, model: OpenModel) -> NoReturn:
        """Run what is asked for until the server is gone; then the process ends."""
        asked = select.poll()
        asked.register(self._line, select.POLLIN)
        try:
            while True:
                with self._receiving:
                    if not asked.poll(_IDLE_S * 1000):
                        release_memory(model)
                    start = Start.unpack(self._line.recv_bytes())
                    interrupt = self._begin(start.number)
                answer = self._run(model, start, interrupt)
                with self._sending:
                    self._line.send_bytes(answer.pack())
        except (EOFError, OSError):
            os._exit(0)  # a run on another thread would hold up any other way to end

    def _begin(self, number: int) -> Interrupt:
        interrupt = Interrupt()
        with self._ending:
            self._going[number] = interrupt
            self._newest = number
            if number in self._to_end:
                self._to_end.discard(number)
                interrupt.set()
        return interrupt

    def _run(self, model: OpenModel, start: Start, interrupt: Interrupt) -> Ran | Failed:
        area = self._areas[start.area]
        begun_ns = time.perf_counter_ns()
        try:
            feeds = area.get(start.inputs, copy=False)
            outputs = model.run(feeds, start.outputs, interrupt=interrupt)
            ended_ns = time.perf_counter_ns()
            laid = area.put((name, (array,)) for name, array in outputs.items())
            return Ran(start.area, laid, begun_ns, ended_ns)
        except Exception as err:  # noqa: BLE001  # the process's edge: the server tells who asked
            return Failed(_sendable(err), start.area)
        finally:
            with self._ending:
                del self._going[start.number]


def be_worker(fds: Sequence[int]) -> NoReturn:
    """Be one.

    Args:
        fds: a line for control, one for runs, and areas for these.
    """
    control, runs, *areas = fds
    work(Connection(control), Lanes(Connection(runs), [Area(area) for area in areas]))


def work(control: Connection, lanes: Lanes) -> NoReturn:
    """Open the model that is asked for, then run it until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this one
    if _SACRIFICE.exists():  # Linux; where memory runs out, this goes before the server does
        _SACRIFICE.write_text("500")
    try:
        question: Open = control.recv()
        try:
            with _memory_limit(question.memory_bytes):
                model = open_model(
                    question.path,
                    policy=question.policy,
                    threads=question.threads,
                    tuning=question.tuning,
                    spinning=question.spinning,
                )
        except Exception as err:  # noqa: BLE001  # the process's edge, as above
            control.send(Failed(_sendable(err)))
            os._exit(0)
        for _ in range(question.lanes):
            threading.Thread(target=lanes.serve, args=(model,), daemon=True).start()
        control.send(
            Opened(model.inputs, model.outputs, model.provider, model.placement, model.lowered)
        )
        while True:
            end: End = control.recv()
            lanes.end_run(end.number)
    except (EOFError, OSError):
        os._exit(0)


@contextmanager
def _memory_limit(size: int) -> Iterator[None]:
    """Let the process take at most so many bytes more; 0 is any amount.

    A file of a hundred bytes can ask for gigabytes when it is opened, by folding constants.
    """
    if not size:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _sendable(error: Exception) -> BundleError:
    if isinstance(error, BundleError):
        return error
    return RunFailed(f"something unexpected happened: {error!r}")
