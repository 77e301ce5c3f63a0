"""Servers as processes of their own: on free ports, watched, always stopped. Loads nobody."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from normserve.bench.processes import ProcessTree
from normserve.bench.shots import Refused, Shot, Target, send

__all__ = ["Server", "ServerFailed", "established", "free_port", "normserve", "running"]

_START_S = 600.0
_STOP_S = 30.0
_POLL_S = 0.005
_TAIL_BYTES = 2000


class ServerFailed(Exception):
    """A server did not start, or ended; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers.

    Attributes:
        target: where it listens.
        processes: its own.
        cold_s: seconds from its start to its first answer.
    """

    target: Target
    processes: ProcessTree
    cold_s: float


@contextmanager
def normserve(
    repository: Path,
    *,
    first: Shot | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Server]:
    """``normserve serve`` over a repository, as it comes but for its ports.

    It takes no ``NORMSERVE_`` setting from the environment.

    Args:
        repository: the folder of the models.
        first: what is asked until it is answered; whether all is ready, if left out.
        settings: by their names in `service.Settings`.

    Raises:
        ServerFailed: it does not answer.
    """
    http, grpc = free_port(), free_port()
    given = {
        "repository": repository.resolve(),
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": "none",
        **(settings or {}),
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NORMSERVE_")}
    environment |= {f"NORMSERVE_{name.upper()}": str(value) for name, value in given.items()}
    target = Target(f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}")
    command = [sys.executable, "-m", "normserve", "serve"]
    with running(
        command, target, first or Shot("/v2/health/ready"), environment=environment
    ) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], target: Target, first: Shot, *, environment: Mapping[str, str]
) -> Iterator[Server]:
    """A server that has answered its first request, until the block ends.

    Its log is written to a file, which nobody reads unless it fails.

    Raises:
        ServerFailed: it ends, or does not answer within ten minutes.
    """
    with tempfile.TemporaryFile() as log:
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - the project's own command
            command, env=environment, stdout=log, stderr=log
        )
        try:
            while not _answers(target, first):
                if process.poll() is not None or time.monotonic() > began + _START_S:
                    log.seek(max(0, log.tell() - _TAIL_BYTES))
                    tail = log.read().decode(errors="replace").strip()
                    raise ServerFailed(f"the server does not answer; the end of its log: {tail}")
                time.sleep(_POLL_S)
            yield Server(target, ProcessTree(process.pid), time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def established(
    server: Server,
    model: str,
    *,
    version: str = "",
    is_thorough: bool = True,
    within_s: float = 900,
) -> int:
    """Wait until it is decided whether requests for a model share runs; how many rows of them do.

    Args:
        server: that serves it.
        model: its name.
        version: of it; the latest one if empty.
        is_thorough: whether to wait until nothing is examined any more, so that nothing else runs.
        within_s: that it may take.

    Raises:
        ServerFailed: it takes longer.
    """
    at = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/consistency"
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(Refused):
            content, _ = send(server.target, Shot(at))
            said = json.loads(content)
            is_decided = not is_thorough and said["established"] is not None
            if is_decided or said["state"] in ("established", "failed"):
                return int(said["batching"]["rows"])
        time.sleep(0.1)
    raise ServerFailed(f"the consistency of '{model}' was not established within {within_s:g} s.")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(target: Target, first: Shot) -> bool:
    try:
        send(target, first)
    except Refused:
        return False
    return True
