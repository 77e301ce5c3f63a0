"""Servers as processes: started, watched from outside, stopped. Loads nobody."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

__all__ = ["Server", "naive", "normserve"]

_TICKS = os.sysconf("SC_CLK_TCK")
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs.

    Attributes:
        pid: of its first process.
        url: of HTTP.
        grpc: host and port, where it speaks gRPC.
        cold_s: from its start to its first answer.
    """

    pid: int
    url: str
    grpc: str | None = None
    cold_s: float = 0.0

    def cpu_s(self) -> float:
        """Seconds of processor time so far, over all its processes that still run."""
        total = 0
        for pid in _tree(self.pid):
            try:
                after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(after_name[11]) + int(after_name[12])
        return total / _TICKS

    def pss_mib(self) -> float:
        """Resident memory, shared pages in proportion, over all its processes."""
        kib = 0
        for pid in _tree(self.pid):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kib / 1024

    def processes(self) -> list[int]:
        """The ids of its processes, itself first."""
        return list(_tree(self.pid))


@contextmanager
def normserve(
    repository: Path, *, settings: Mapping[str, str] | None = None, ready_s: float = 120
) -> Iterator[Server]:
    """NormServe over a repository, ready."""
    http, grpc, metrics = (_free_port() for _ in range(3))
    arguments = ["--repository", str(repository), "--http-port", str(http)]
    arguments += ["--grpc-port", str(grpc), "--metrics-port", str(metrics)]
    command = [str(Path(sys.executable).with_name("normserve")), "serve", *arguments]
    url = f"http://127.0.0.1:{http}"
    with _running(command, settings or {}) as (process, began):
        cold_s = _wait(process, f"{url}/v2/health/ready", began, ready_s)
        yield Server(process.pid, url, f"127.0.0.1:{grpc}", cold_s)


@contextmanager
def naive(model: Path) -> Iterator[Server]:
    """The server of the tutorials over one model."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "naive:app", "--port", str(port)]
    command += ["--app-dir", str(_HERE)]
    url = f"http://127.0.0.1:{port}"
    with _running(command, {"MODEL": str(model)}) as (process, began):
        cold_s = _wait(process, f"{url}/empty", began, 120)
        yield Server(process.pid, url, cold_s=cold_s)


def batches_are_formed(server: Server, model: str, *, within_s: float = 300) -> None:
    """Wait until it is decided whether a model's requests share runs.

    Raises:
        TimeoutError: it takes longer.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        state = httpx.get(f"{server.url}/v2/models/{model}/consistency").json()["state"]
        if state in ("established", "failed"):
            return
        time.sleep(0.2)
    raise TimeoutError(f"the consistency of {model} was not established within {within_s} s")


@contextmanager
def _running(
    command: Sequence[str], settings: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, began
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, began: float, within_s: float) -> float:
    while time.monotonic() < began + within_s:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return time.monotonic() - began
        except httpx.TransportError:
            time.sleep(0.005)
    raise TimeoutError(f"{url} did not answer within {within_s} s")


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
