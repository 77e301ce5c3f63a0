"""The server's end of one worker: its lines, its areas, its process. Supervises nothing."""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Final

import numpy as np

from bundle.errors import BundleError, RunFailed
from service.engine.area import Area
from service.engine.messages import (
    PACKET_BYTES,
    End,
    Failed,
    Open,
    Opened,
    Packet,
    Start,
    unpack_answer,
)
from service.engine.run import Pieces, Run
from service.engine.zygote import Fds, Zygote
from service.errors import EngineFailed

__all__ = ["Link", "Slot"]

_MOST_SLOTS: Final = 250
"""A worker is born with an area for each, and the system hands over so many at once."""


class Slot:
    """Where the tensors of a run are, until its answer has been read.

    Args:
        number: of it.
        area: shared with the worker.

    Attributes:
        number: of its area.
        area: shared with the worker.
        run: the number of the run that was begun last.
    """

    def __init__(self, number: int, area: Area) -> None:
        self.number = number
        self.area = area
        self.run = 0


class Link:
    """A worker that has opened a model.

    It runs what it was given in that order, each as soon as it may. A run that it has before that
    waits there, so that the worker need not wait for the server to learn that another has ended.

    Args:
        zygote: forks it.
        question: what it is to open.
        timeout_s: that opening may take, and each run before it serves.

    Attributes:
        model: what it says of the model.
        at_once: runs at the same time.
        slots: for these, and for those that it may be given before they can begin.

    Raises:
        BundleError: the model cannot be opened.
        EngineFailed: the worker cannot be started, ended, or took too long.
    """

    def __init__(self, zygote: Zygote, question: Open, *, timeout_s: float) -> None:
        self._zygote = zygote
        self._timeout_s = timeout_s
        self._begun = 0
        self._ended_with: str | None = None
        self.at_once = question.lanes
        self.slots: list[Slot] = []
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            try:
                for number in range(max(self.at_once, min(2 * self.at_once, _MOST_SLOTS))):
                    area = Area.create()
                    ours.callback(area.close)
                    self.slots.append(Slot(number, area))
                control, far = socket.socketpair()
                theirs.enter_context(far)
                self._control = ours.enter_context(Connection(control.detach()))
                self._runs, runs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.enter_context(self._runs)
                theirs.enter_context(runs)
                areas = [slot.area.fd for slot in self.slots]
                self._worker = zygote.spawn(Fds(far.fileno(), runs.fileno(), areas))
            except OSError as err:
                raise EngineFailed(f"no worker can be started: {err.strerror}") from err
            self._held = ours.pop_all()
        try:
            self.model = self._open(question)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    def fileno(self) -> int:
        """What can be read when a run has ended, or the worker has."""
        return self._runs.fileno()

    def start(self, slot: Slot, feeds: Mapping[str, Pieces], outputs: Sequence[str]) -> None:
        """Give it a run, in a slot that has none. That it is gone is noticed by `finish`.

        Raises:
            RunFailed: there is no memory for the tensors.
        """
        try:
            laid = slot.area.put(feeds.items())
            place = slot.area.leave(Start(laid, tuple(outputs)).pack())
        except (OSError, MemoryError) as err:
            raise RunFailed(f"there is no memory for the tensors of the run: {err}") from err
        self._begun += 1
        slot.run = self._begun
        with contextlib.suppress(OSError):
            self._runs.send(Packet(slot.run, slot.number, *place).pack())

    def finish(self) -> tuple[Slot, Run | BundleError]:
        """What the next run that has ended gave, and which it is; waits for it.

        Raises:
            EOFError: the worker is gone.
            OSError: the same.
        """
        packet = Packet.unpack(self._runs.recv(PACKET_BYTES))
        slot = self.slots[packet.area]
        answer = unpack_answer(slot.area.note(packet.start, packet.size))
        if isinstance(answer, Failed):
            return slot, answer.error
        outputs = slot.area.get(answer.outputs, copy=True)
        slot.area.shrink()
        return slot, Run(outputs, answer.begun_ns, answer.ended_ns)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model and wait: for whoever tries it before it serves.

        Raises:
            BundleError: the run failed.
            EngineFailed: the worker ended, or had to be ended because it took too long.
        """
        try:
            self.start(self.slots[0], {name: (array,) for name, array in feeds.items()}, ())
            if not wait([self._runs], self._timeout_s):
                self.close()
                raise EngineFailed(self._too_long("run"))
            _, run = self.finish()
        except (EOFError, OSError) as err:
            raise EngineFailed(f"the model's process ended with {self.close()}") from err
        if isinstance(run, BundleError):
            raise run
        return dict(run.outputs)

    def end_run(self, slot: Slot) -> None:
        """End the run that a slot has as soon as that can be done."""
        with contextlib.suppress(OSError):  # the worker is gone: so is the run
            self._control.send(End(slot.run))

    def close(self) -> str:
        """End the worker, whatever it does. Closed twice is closed once.

        Returns:
            How it ended, for a person.
        """
        if self._ended_with is None:
            self._ended_with = self._zygote.bury(self._worker)
            self._held.close()
        return self._ended_with

    def _open(self, question: Open) -> Opened:
        try:
            self._control.send(question)
            if not self._control.poll(self._timeout_s):
                raise EngineFailed(self._too_long("open"))
            answer: Opened | Failed = self._control.recv()
        except (EOFError, OSError) as err:
            raise EngineFailed(
                f"the process that opened the model ended with {self.close()}"
            ) from err
        if isinstance(answer, Failed):
            raise answer.error
        return answer

    def _too_long(self, to: str) -> str:
        return (
            f"it took longer than {self._timeout_s:g} s to {to} the model"
            " (NORMSERVE_LOAD_TIMEOUT_S)"
        )
