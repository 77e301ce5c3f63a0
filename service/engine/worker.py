"""A worker process: one model, and a thread for each run at the same time. Orders nothing.

Each of these threads waits for a packet, runs the model with what lies in the area that it names,
lays out there what that gave, and says so. The main thread opens the model, and ends runs. Nothing
here outlives the server: a line whose other end is gone ends the process.
"""

import os
import resource
import select
import signal
import socket
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
from service.engine.messages import PACKET_BYTES, End, Failed, Open, Opened, Packet, Ran, Start

__all__ = ["Lanes", "be_worker", "work"]

_SACRIFICE = Path("/proc/self/oom_score_adj")
_IDLE_S: Final = 2.0
"""Without anything to run, until what runs have taken is given back."""


class Lanes:
    """Runs, one on each thread that serves here.

    Args:
        line: to the server, of packets.
        areas: shared with it.
    """

    def __init__(self, line: socket.socket, areas: Sequence[Area]) -> None:
        self._line = line
        self._areas = areas
        self._lock = threading.Lock()
        self._going: dict[int, Interrupt] = {}
        self._to_end: set[int] = set()

    def end_run(self, number: int) -> None:
        """End a run: one that is going on, or will begin; one that is over is none of them."""
        with self._lock:
            if number in self._going:
                self._going[number].set()
            else:
                self._to_end.add(number)

    def serve(self, model: OpenModel) -> NoReturn:
        """Run what is asked for until the server is gone; then the process ends."""
        asked = select.epoll()
        # a packet wakes one of the threads that wait, and no other, which would be in its way
        asked.register(self._line, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        try:
            while True:
                if not asked.poll(_IDLE_S):
                    release_memory(model)
                    asked.poll()
                try:
                    packet = Packet.unpack(self._line.recv(PACKET_BYTES, socket.MSG_DONTWAIT))
                except BlockingIOError:  # another thread was quicker
                    continue
                area = self._areas[packet.area]
                start = Start.unpack(area.note(packet.start, packet.size))
                with self._interrupt(packet.run) as interrupt:
                    answer = _run(model, start, area, interrupt)
                place = area.leave(answer.pack())
                self._line.send(Packet(packet.run, packet.area, *place).pack())
        except (EOFError, OSError):
            os._exit(0)  # a run on another thread would hold up any other way to end

    @contextmanager
    def _interrupt(self, number: int) -> Iterator[Interrupt]:
        """What ends a run while it goes on."""
        interrupt = Interrupt()
        with self._lock:
            self._going[number] = interrupt
            if self._to_end:
                if number in self._to_end:
                    interrupt.set()
                # those that can still begin are as many as there are areas; the others are over
                oldest = number - len(self._areas)
                self._to_end = {run for run in self._to_end if run > oldest and run != number}
        try:
            yield interrupt
        finally:
            with self._lock:
                del self._going[number]


def _run(model: OpenModel, start: Start, area: Area, interrupt: Interrupt) -> Ran | Failed:
    begun_ns = time.perf_counter_ns()
    try:
        feeds = area.get(start.inputs, copy=False)
        outputs = model.run(feeds, start.outputs, interrupt=interrupt)
        ended_ns = time.perf_counter_ns()
        laid = area.put((name, (array,)) for name, array in outputs.items())
        return Ran(laid, begun_ns, ended_ns)
    except Exception as err:  # noqa: BLE001  # the process's edge: the server tells who asked
        area.put(())  # what is left there next takes no memory that there may not be
        return Failed(_sendable(err))


def be_worker(fds: Sequence[int]) -> NoReturn:
    """Be one.

    Args:
        fds: a line for control, one for runs, and areas for these.
    """
    control, runs, *areas = fds
    line = socket.socket(fileno=runs)
    work(Connection(control), Lanes(line, [Area(area) for area in areas]))


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
