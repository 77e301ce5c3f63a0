"""A worker process: one model, and a lane for each run at the same time. Orders nothing.

A lane is a thread with a line and an area of its own: it waits for a message, runs the model with
what lies in the area, lays out what that gave, and says so. The main thread opens the model, and
ends runs. Nothing here outlives the server: a line whose other end is gone ends the process.
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

__all__ = ["Lane", "be_worker", "work"]

_SACRIFICE = Path("/proc/self/oom_score_adj")
_IDLE_S: Final = 2.0
"""Without a run in a lane, until what its runs have taken is given back."""


class Lane:
    """One run at a time.

    Args:
        line: to the server.
        area: shared with it.
    """

    def __init__(self, line: Connection, area: Area) -> None:
        self._line = line
        self._area = area
        self._current: tuple[int, Interrupt] | None = None
        self._to_end = 0

    def end_run(self, number: int) -> None:
        """End a run: the one that is going on, or the next; one that is over is none of them."""
        self._to_end = number  # first: whoever begins it now looks here after
        current = self._current
        if current is not None and current[0] == number:
            current[1].set()

    def serve(self, model: OpenModel) -> NoReturn:
        """Run what is asked for until the server is gone; then the process ends."""
        asked = select.poll()
        asked.register(self._line, select.POLLIN)
        try:
            while True:
                if not asked.poll(_IDLE_S * 1000):
                    release_memory(model)
                start = Start.unpack(self._line.recv_bytes())
                self._line.send_bytes(self._run(model, start).pack())
        except (EOFError, OSError):
            os._exit(0)  # a run in another lane would hold up any other way to end

    def _run(self, model: OpenModel, start: Start) -> Ran | Failed:
        interrupt = Interrupt()
        self._current = (start.number, interrupt)
        if self._to_end == start.number:
            interrupt.set()
        feeds = self._area.get(start.inputs, copy=False)
        begun_ns = time.perf_counter_ns()
        try:
            outputs = model.run(feeds, start.outputs, interrupt=interrupt)
            ended_ns = time.perf_counter_ns()
            laid = self._area.put((name, (array,)) for name, array in outputs.items())
            return Ran(laid, begun_ns, ended_ns)
        except Exception as err:  # noqa: BLE001  # the process's edge: the server tells who asked
            return Failed(_sendable(err))
        finally:
            self._current = None


def be_worker(fds: Sequence[int]) -> NoReturn:
    """Be one.

    Args:
        fds: a line for control, and for each lane a line and an area.
    """
    control, *lanes = fds
    work(
        Connection(control),
        [
            Lane(Connection(lane), Area(area))
            for lane, area in zip(lanes[::2], lanes[1::2], strict=True)
        ],
    )


def work(control: Connection, lanes: Sequence[Lane]) -> NoReturn:
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
        for lane in lanes:
            threading.Thread(target=lane.serve, args=(model,), daemon=True).start()
        control.send(
            Opened(model.inputs, model.outputs, model.provider, model.placement, model.lowered)
        )
        while True:
            end: End = control.recv()
            lanes[end.lane].end_run(end.run)
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


def _sendable(error: Exception) -> Exception:
    if isinstance(error, BundleError):
        return error
    return RunFailed(f"something unexpected happened: {error!r}")
