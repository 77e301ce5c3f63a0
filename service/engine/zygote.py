"""The process that workers are forked from. Forks, and tells how they ended. Runs no model.

It is forked from the server before that has any thread, so that a fork of it is safe, takes some
milliseconds, and shares the memory of everything that was imported by then. A server that has
threads already launches it as a program of its own, which takes as long as those imports do.
"""

import contextlib
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from service.engine.worker import be_worker
from service.errors import EngineFailed

__all__ = ["Fds", "Worker", "Zygote", "ZygoteGone", "serve"]

_ROOT = Path(__file__).resolve().parents[2]
"""Where the packages are: the program imports the same ones as this process."""

_WORKER = f"{be_worker.__module__}:{be_worker.__name__}"

_MOST_FDS = 253
"""What the system lets one message carry (``SCM_MAX_FD`` of Linux)."""


class ZygoteGone(EngineFailed):
    """The process that workers are forked from has ended."""


@dataclass(frozen=True, slots=True)
class Fds:
    """What a worker is born with: a line for control, one for runs, and areas for these."""

    control: int
    runs: int
    areas: Sequence[int]


class Zygote:
    """The server's handle of it. For any thread.

    Args:
        line: to it.
        wait: until it has ended.
    """

    def __init__(self, line: socket.socket, *, wait: Callable[[], object]) -> None:
        self._line = line
        self._wait = wait
        self._lock = threading.Lock()

    @classmethod
    def fork(cls) -> Self:
        """Fork it. For a process that has no threads yet, and has imported what workers need."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gc.freeze()  # or collecting garbage would copy what the processes share
        pid = os.fork()
        if pid == 0:
            here.close()
            serve(there)
        there.close()
        return cls(here, wait=lambda: os.waitpid(pid, 0))

    @classmethod
    def launch(cls) -> Self:
        """Start it as a program of its own. For a process that has threads.

        Raises:
            EngineFailed: no process can be started.
        """
        with contextlib.ExitStack() as ours:
            try:
                here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.enter_context(here)
                with there:
                    process = subprocess.Popen(  # noqa: S603  # this interpreter, this package
                        [sys.executable, "-m", "service.engine", str(there.fileno())],
                        cwd=_ROOT,
                        stdin=subprocess.DEVNULL,
                        pass_fds=[there.fileno()],
                    )
            except OSError as err:
                raise EngineFailed(f"no process can be started: {err.strerror}") from err
            ours.pop_all()
        return cls(here, wait=process.wait)

    def spawn(self, fds: Fds) -> "Worker":
        """Fork a worker.

        Raises:
            ZygoteGone: this process has ended, and starts none any more.
            EngineFailed: it cannot be forked, or nothing is left to hold it by.
        """
        return self.spawn_at(_WORKER, [fds.control, fds.runs, *fds.areas])

    def spawn_at(self, entry: str, fds: Sequence[int]) -> "Worker":
        """Fork a process that is something else than a worker.

        Args:
            entry: the function that it calls with the descriptors, and that does not return, as
                ``module:function``; quick where its module was imported before this was forked.
            fds: that it is born with.

        Raises:
            ZygoteGone: as `spawn`.
            EngineFailed: as `spawn`.
        """
        with self._lock:
            try:
                socket.send_fds(self._line, [b"spawn " + entry.encode()], fds)
                answer = self._line.recv(64)
            except OSError as err:
                raise ZygoteGone("no worker can be started: what starts them is gone") from err
        if not answer:
            raise ZygoteGone("no worker can be started: what starts them is gone")
        pid = int(answer)
        if pid < 0:
            raise EngineFailed(f"no worker can be started: {os.strerror(-pid)}")
        try:
            return Worker(pid)
        except OSError as err:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # nobody else has its number before it is waited for
            self._wait_for(pid)
            raise EngineFailed(f"no worker can be started: {err.strerror}") from err

    def bury(self, worker: "Worker") -> str:
        """End a worker, if it has not ended itself.

        Returns:
            How it ended, for a person.
        """
        worker.kill()
        answer = self._wait_for(worker.pid)
        if not answer:
            return "nobody who could tell how"
        status = int(answer)
        return f"signal {-status}" if status < 0 else f"status {status}"

    def close(self) -> None:
        """End it, and every worker. Closed twice is closed once."""
        with self._lock:
            if self._line.fileno() < 0:
                return
            self._line.close()
        self._wait()

    def _wait_for(self, pid: int) -> bytes:
        """The status that a process ended with; nothing where nobody can tell."""
        with self._lock:
            try:
                self._line.sendall(b"wait %d" % pid)
                return self._line.recv(64)
            except OSError:
                return b""


class Worker:
    """A worker's process, whatever its number is used for later.

    Attributes:
        pid: its number.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def kill(self) -> None:
        """End it. Once."""
        with contextlib.suppress(ProcessLookupError):  # it has ended, and was waited for
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        os.close(self._fd)


def serve(line: socket.socket) -> NoReturn:
    """Be it: fork and end workers until the server is gone."""
    os.setsid()  # Ctrl-C is for the server
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    workers: set[int] = set()
    while True:
        content, fds, _, _ = socket.recv_fds(line, 256, _MOST_FDS)
        if not content:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        order, _, what = content.decode().partition(" ")
        if order == "spawn":
            pid = _fork(line, what, fds)
            if pid > 0:
                workers.add(pid)
            line.sendall(b"%d" % pid)
        else:
            pid = int(what)
            line.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            workers.discard(pid)


def _fork(line: socket.socket, entry: str, fds: Sequence[int]) -> int:
    """A worker's process id, or the negative of the error's number."""
    try:
        pid = os.fork()
    except OSError as err:
        pid = -(err.errno or 1)
    if pid == 0:
        line.close()
        try:
            module, _, name = entry.partition(":")
            getattr(importlib.import_module(module), name)(fds)
        except BaseException:  # noqa: BLE001  # it must not go on as a copy of this process
            traceback.print_exc()
        os._exit(1)
    for fd in fds:
        os.close(fd)
    return pid
