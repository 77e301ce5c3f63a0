"""A process beside the server that does one thing at a time, at the lowest priority.

Not a thread: a thread of low priority that holds the interpreter's lock holds up every request, a
run of a model cannot be ended from outside, and a model that crashes takes its process with it.
What it does are tasks: small values that can be sent, and called there.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from service.errors import HelperFailed, HelperRefused

__all__ = ["Answer", "Helper", "Refusal", "Task"]

_ROOT = Path(__file__).resolve().parents[2]
"""Where the packages are: the process imports the same ones as this."""

T_co = TypeVar("T_co", covariant=True)


class Task(Protocol[T_co]):
    """Something to do: sent to the helper and called there."""

    def __call__(self) -> T_co:
        """Do it.

        Raises:
            BundleError: it cannot be done; the message is the reason.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a task gave."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a task gave nothing.

    Attributes:
        reason: for a person.
        traceback: where something happened that nobody foresaw; empty otherwise.
    """

    reason: str
    traceback: str = ""


class Helper:
    """The process, started when it is first asked, and again after it has ended.

    `ask` and `stop` are for one thread, `close` is for any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._is_closed = False

    def ask(self, task: Task[T_co], *, timeout_s: float) -> T_co:
        """Have something done.

        Raises:
            HelperRefused: it cannot be done.
            HelperFailed: the process has ended, was ended because the time was over, or met
                something that nobody foresaw.
        """
        line = self._start()
        try:
            line.send(task)
            if not line.poll(timeout_s):
                self.stop()
                raise HelperFailed(f"it took longer than {timeout_s:g} seconds and was given up")
            reply: Answer[T_co] | Refusal = line.recv()
        except (EOFError, OSError) as err:
            raise HelperFailed(f"the process that did it ended with {self.stop()}") from err
        if isinstance(reply, Answer):
            return reply.value
        if reply.traceback:
            raise HelperFailed(f"something unexpected happened\n{reply.traceback}")
        raise HelperRefused(reply.reason)

    def stop(self) -> str:
        """End the process, whatever it does.

        Returns:
            How it ended, for a person.
        """
        with self._lock:
            process, line = self._process, self._line
            self._process = self._line = None
        if process is None or line is None:
            return "the server"
        line.close()
        _kill(process)
        status = process.wait()
        return f"signal {-status}" if status < 0 else f"status {status}"

    def close(self) -> None:
        """End the process for good. Whoever waits for it meets `HelperFailed`."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                _kill(self._process)

    def _start(self) -> Connection:
        with self._lock:
            if self._is_closed:
                raise HelperFailed("the server is being stopped")
            if self._line is None:
                try:
                    self._process, self._line = _launch()
                except OSError as err:
                    raise HelperFailed(f"no process can be started: {err.strerror}") from err
            return self._line


def _launch() -> tuple[subprocess.Popen[bytes], Connection]:
    here, there = socket.socketpair()
    with here, there:
        process = subprocess.Popen(  # noqa: S603  # this interpreter, this package
            [sys.executable, "-m", "service.consistency.worker", str(there.fileno())],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[there.fileno()],
            start_new_session=True,  # Ctrl-C is for the server, which then ends this one
        )
        return process, Connection(here.detach())


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it with the processes that it has started itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
