"""A server process: started on a free port, always stopped. Asks it nothing but its states.

The server takes its port itself and says in its log which, so that no two can race for one.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

import tritonclient.http as http
from tritonclient.utils import InferenceServerException

from bundle import ProviderPolicy
from normserve.served.errors import ServerFailed
from normserve.served.transports import Addresses

__all__ = ["Server", "State", "server_of"]

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
_LOAD_SECONDS = 600.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_TAIL = 12
_MAX_REQUEST_BYTES = 1 << 31

State = tuple[str, str]
"""What the repository index says of a model version: its state and the reason for it."""


class Server:
    """A server process that is starting, runs, or has ended.

    Attributes:
        repository: what it serves.
    """

    def __init__(self, process: "subprocess.Popen[str]", repository: Path) -> None:
        self.repository = repository
        self._process = process
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self._addresses: Addresses | None = None
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()

    @property
    def addresses(self) -> Addresses:
        """Where it listens.

        Raises:
            ServerFailed: it does not.
        """
        if self._addresses is None:
            raise ServerFailed(self._failure("did not start"))
        return self._addresses

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def tail(self) -> str:
        """The last lines that it logged, requests left out, in one."""
        return " | ".join(self._lines)

    def wait_until_listening(self) -> None:
        """Wait for the address.

        Raises:
            ServerFailed: it ended, or said nothing for a minute.
        """
        told = self._told.wait(_START_SECONDS)
        if self._addresses is None and told:  # its log has ended, and so will it
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        _ = self.addresses

    def states(self, wanted: set[tuple[str, int]]) -> Mapping[tuple[str, int], State]:
        """The state of each version, once none of those that are wanted is loading.

        Raises:
            ServerFailed: it ended, or loads for longer than ten minutes.
        """
        end = time.monotonic() + _LOAD_SECONDS
        with contextlib.closing(http.InferenceServerClient(self.addresses.http)) as client:
            while time.monotonic() < end and self.is_running:
                with contextlib.suppress(OSError, InferenceServerException):
                    states = _settled(client.get_model_repository_index())
                    if wanted <= states.keys():
                        return states
                time.sleep(_POLL_SECONDS)
        raise ServerFailed(self._failure("did not load its models"))

    def stop(self) -> None:
        """End the process: by SIGTERM, and where that does not help, by force."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _failure(self, what: str) -> str:
        status = self._process.poll()
        how = "in time" if status is None else f"and ended with status {status}"
        return f"the server {what} {how}; the end of its log: {self.tail() or 'nothing'}"

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            event = _event(line)
            if event.get("event") == "listening":
                url = str(event["url"]).removeprefix("http://")
                self._addresses = Addresses(http=url, grpc=str(event["grpc"]))
                self._told.set()
            if event.get("event") != "request":
                self._lines.append(line.rstrip())
        self._told.set()


@contextmanager
def server_of(repository: Path, *, policy: ProviderPolicy, threads: int) -> Iterator[Server]:
    """``normserve serve`` in a process of its own, listening; stopped when the block ends.

    It takes nothing from the environment's ``NORMSERVE_`` settings: what is checked is the same
    everywhere. While the block runs, SIGTERM ends this process by way of the block's end.

    Raises:
        ServerFailed: it does not start.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NORMSERVE_")}
    environment["NORMSERVE_MAX_REQUEST_BYTES"] = str(_MAX_REQUEST_BYTES)
    environment["NORMSERVE_CONSISTENCY_AT_LOAD"] = "false"  # others establish that
    environment["NORMSERVE_VERSION_POLICY"] = "all"  # whatever is staged is to be asked
    options = {
        "--repository": repository.resolve(),
        "--http-port": 0,
        "--grpc-port": 0,
        "--metrics-port": "none",
        "--provider": policy,
        "--threads": threads,
        "--log-format": "json",
        "--log-level": "info",
    }
    arguments = [str(part) for option in options.items() for part in option]
    with _ending_by_exception():
        server = Server(
            subprocess.Popen(  # noqa: S603 - the project's own command
                [sys.executable, "-m", "normserve", "serve", *arguments],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            ),
            repository,
        )
        try:
            server.wait_until_listening()
            yield server
        finally:
            server.stop()


@contextmanager
def _ending_by_exception() -> Iterator[None]:
    """Let SIGTERM, which by default ends the process at once, run what ends the server first."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _settled(index: list[dict[str, Any]]) -> dict[tuple[str, int], State]:
    """The versions of a repository index that are not loading."""
    return {
        (entry["name"], int(entry["version"])): (entry["state"], entry["reason"])
        for entry in index
        if entry["state"] != "LOADING"
    }


def _event(line: str) -> dict[str, Any]:
    """A line of the log, empty where it is none (a traceback of a process that dies)."""
    with contextlib.suppress(json.JSONDecodeError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {}
