"""The server's end of one worker: its lines, its areas, its process. Supervises nothing."""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection

import numpy as np

from bundle.errors import RunFailed
from service.engine.area import Area
from service.engine.messages import End, Failed, Open, Opened, Start, unpack_answer
from service.engine.run import Pieces, Run
from service.engine.zygote import Fds, Zygote
from service.errors import EngineFailed

__all__ = ["Lane", "Link"]


class Lane:
    """The server's end of a lane: one run at a time.

    Args:
        number: of it.
        line: to it.
        area: shared with it.

    Attributes:
        number: of the lane in its worker.
        run: the number of the run that was begun last.
    """

    def __init__(self, number: int, line: Connection, area: Area) -> None:
        self.number = number
        self.run = 0
        self._line = line
        self._area = area

    def fileno(self) -> int:
        """What can be read when the run has ended, or the worker has."""
        return self._line.fileno()

    def start(self, feeds: Mapping[str, Pieces], outputs: Sequence[str]) -> None:
        """Begin a run. That the worker is gone is noticed where its answer is waited for.

        Raises:
            RunFailed: there is no memory for the tensors.
        """
        try:
            laid = self._area.put(feeds.items())
        except (OSError, MemoryError) as err:
            raise RunFailed(f"there is no memory for the tensors of the run: {err}") from err
        self.run += 1
        with contextlib.suppress(OSError):
            self._line.send_bytes(Start(self.run, laid, tuple(outputs)).pack())

    def finish(self) -> Run:
        """What the run gave; waits for it.

        Raises:
            BundleError: the run failed.
            EOFError: the worker is gone.
            OSError: the same.
        """
        answer = unpack_answer(self._line.recv_bytes())
        if isinstance(answer, Failed):
            raise answer.error
        outputs = self._area.get(answer.outputs, copy=True)
        self._area.shrink()
        return Run(outputs, answer.begun_ns, answer.ended_ns)

    def close(self) -> None:
        """Give it up."""
        self._line.close()
        self._area.close()


class Link:
    """A worker that has opened a model.

    Args:
        zygote: forks it.
        question: what it is to open.
        lanes: runs at the same time.
        timeout_s: that opening may take.

    Attributes:
        model: what it says of the model.
        lanes: what runs it.

    Raises:
        BundleError: the model cannot be opened.
        EngineFailed: the worker cannot be started, ended, or took too long.
    """

    def __init__(self, zygote: Zygote, question: Open, *, lanes: int, timeout_s: float) -> None:
        self._zygote = zygote
        self.lanes: list[Lane] = []
        with contextlib.ExitStack() as theirs:
            self._control, control = _line(theirs)
            fds = []
            for number in range(lanes):
                line, far = _line(theirs)
                area = Area.create()
                self.lanes.append(Lane(number, line, area))
                fds.append((far, area.fd))
            try:
                self._worker = zygote.spawn(Fds(control, fds))
            except EngineFailed:
                self._close_lines()
                raise
        self.model = self._open(question, timeout_s)

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model and wait: for whoever tries it before it serves.

        Raises:
            BundleError: the run failed.
            EngineFailed: the worker ended.
        """
        try:
            self.lanes[0].start({name: (array,) for name, array in feeds.items()}, ())
            return dict(self.lanes[0].finish().outputs)
        except (EOFError, OSError) as err:
            raise EngineFailed(f"the model's process ended with {self.close()}") from err

    def end_run(self, lane: Lane) -> None:
        """End the run of a lane as soon as that can be done."""
        with contextlib.suppress(OSError):  # the worker is gone: so is the run
            self._control.send(End(lane.number, lane.run))

    def close(self) -> str:
        """End the worker, whatever it does.

        Returns:
            How it ended, for a person.
        """
        how = self._zygote.bury(self._worker)
        self._close_lines()
        return how

    def _close_lines(self) -> None:
        self._control.close()
        for lane in self.lanes:
            lane.close()

    def _open(self, question: Open, timeout_s: float) -> Opened:
        try:
            self._control.send(question)
            if not self._control.poll(timeout_s):
                self.close()
                raise EngineFailed(f"it took longer than {timeout_s:g} s to open the model")
            answer: Opened | Failed = self._control.recv()
        except (EOFError, OSError) as err:
            raise EngineFailed(
                f"the process that opened the model ended with {self.close()}"
            ) from err
        if isinstance(answer, Failed):
            self.close()
            raise answer.error
        return answer


def _line(theirs: contextlib.ExitStack) -> tuple[Connection, int]:
    """Our end of a new line, and the number of theirs, which is closed with the stack."""
    here, there = socket.socketpair()
    theirs.callback(there.close)
    return Connection(here.detach()), there.fileno()
