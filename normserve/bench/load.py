"""Load on a server, and when each answer came. Judges no answer but by its status.

h2load (of nghttp2) makes it where that is installed: it is no bottleneck to any server. Where it is
not, a client of our own does (`normserve.bench.client`), which takes processor time from the server
that it measures.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from normserve.bench.processes import ProcessTree
from normserve.bench.shots import Refused, Shot, Target

__all__ = ["FAILED", "Answers", "Load", "fire", "generator", "measure"]

FAILED = -1
"""The status of a request without an answer."""

_CLIENT = Path(__file__).with_name("client.py")  # not as a module: that would import the package
_OK = 200
_PATIENCE_S = 300.0
_WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """When requests were sent and what came back, in the order in which they ended.

    Attributes:
        began_s: seconds since the epoch.
        status: of HTTP; `FAILED` where nothing came.
        took_s: from the request to the end of its answer.
    """

    began_s: np.ndarray
    status: np.ndarray
    took_s: np.ndarray

    def __len__(self) -> int:
        """How many."""
        return len(self.status)

    @property
    def ended_s(self) -> np.ndarray:
        """Seconds since the epoch."""
        ended: np.ndarray = self.began_s + self.took_s
        return ended

    @property
    def is_good(self) -> np.ndarray:
        """Which of them are answers and no refusals."""
        good: np.ndarray = self.status == _OK
        return good

    def where(self, which: np.ndarray) -> "Answers":
        """Some of them."""
        return Answers(self.began_s[which], self.status[which], self.took_s[which])

    def quantile_ms(self, quantile: float) -> float:
        """Milliseconds within which that part of the answers came; NaN where there are none."""
        return float(np.quantile(self.took_s, quantile) * 1e3) if len(self) else float("nan")


@dataclass(frozen=True, slots=True)
class Load:
    """What a round gave.

    Attributes:
        per_s: good answers a second.
        p50_ms: half of the good answers came within.
        p99_ms: all but one in a hundred came within.
        cpu_ms: of the server's processor time an answer, milliseconds; None where it is not ours.
        failed: requests without a good answer.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float | None
    failed: int


def generator() -> str:
    """What makes the load on this machine."""
    if shutil.which("h2load") is None:
        return "the client of normserve"
    return subprocess.run(
        ["h2load", "--version"],  # noqa: S607 - wherever it is installed
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def measure(
    target: Target,
    shot: Shot,
    *,
    concurrency: int,
    seconds: float,
    processes: ProcessTree | None = None,
) -> Load:
    """A round of load: so many connections, each of which asks again when it was answered.

    What comes in the first moments, while connections are made, does not count. Returns when the
    server has done what it still had to do.

    Args:
        target: the server.
        shot: what it is asked.
        concurrency: how many connections.
        seconds: that count.
        processes: of the server, where it runs here.
    """
    before = 0.0 if processes is None else processes.cpu_s()
    answers = fire(target, shot, concurrency=concurrency, seconds=seconds + _WARM_UP_S)
    used = None if processes is None else processes.cpu_s() - before
    if processes is not None:
        processes.wait_until_idle()
    if not len(answers):
        return Load(0.0, float("nan"), float("nan"), None, concurrency)
    begin = float(answers.began_s.min()) + _WARM_UP_S
    ended = answers.ended_s
    counted = answers.where((ended >= begin) & (ended < begin + seconds))
    good = counted.where(counted.is_good)
    return Load(
        per_s=len(good) / seconds,
        p50_ms=good.quantile_ms(0.5),
        p99_ms=good.quantile_ms(0.99),
        cpu_ms=None if used is None else used / len(answers) * 1e3,
        failed=int((~answers.is_good).sum()),
    )


def fire(
    target: Target,
    shot: Shot,
    *,
    concurrency: int,
    seconds: float | None = None,
    requests: int | None = None,
    each_per_s: float | None = None,
) -> Answers:
    """Ask over and over, and wait for the end of it.

    Args:
        target: the server.
        shot: what it is asked.
        concurrency: connections, each with one request at a time.
        seconds: how long; what is not answered then does not count.
        requests: how many, over all connections, where it is not a matter of time.
        each_per_s: requests a second and connection, at most; as many as it can if left out.

    Raises:
        Refused: the server leaves requests without an answer for minutes.
    """
    with tempfile.TemporaryDirectory(prefix="normserve-bench-") as name:
        folder = Path(name)
        log = folder / "log"
        log.touch()
        limits = _Limits(concurrency, seconds, requests, each_per_s)
        if shutil.which("h2load") is not None:
            command, given = _h2load(target, shot, limits, folder, log), None
        else:
            command, given = _own(target, shot, limits, folder, log)
        try:
            subprocess.run(  # noqa: S603 - the generator
                command,
                check=True,
                capture_output=True,
                input=given,
                timeout=_PATIENCE_S + (seconds or 0),
            )
        except subprocess.TimeoutExpired as err:
            raise Refused(f"requests to {shot.path} are not answered any more") from err
        return _read(log)


@dataclass(frozen=True, slots=True)
class _Limits:
    concurrency: int
    seconds: float | None
    requests: int | None
    each_per_s: float | None


def _h2load(target: Target, shot: Shot, limits: _Limits, folder: Path, log: Path) -> Sequence[str]:
    command = ["h2load", "-t1", "-m1", f"-c{limits.concurrency}", f"--log-file={log}"]
    if limits.requests is not None:
        command.append(f"-n{limits.requests}")
    else:
        command.append(f"-D{round((limits.seconds or 1) * 1e3)}ms")
    if limits.each_per_s is not None:
        command.append(f"--rps={limits.each_per_s}")
    if shot.body:
        body = folder / "body"
        body.write_bytes(shot.body)
        command += ["-d", str(body)]
    if not shot.is_grpc:
        command.append("--h1")
    for name, value in shot.headers.items():
        command += ["-H", f"{name}: {value}"]
    root = f"http://{target.grpc}" if shot.is_grpc else target.url
    return [*command, root + shot.path]


def _own(
    target: Target, shot: Shot, limits: _Limits, folder: Path, log: Path
) -> tuple[Sequence[str], bytes]:
    body = folder / "body"
    body.write_bytes(shot.body)
    job = {
        **asdict(limits),
        "root": target.grpc if shot.is_grpc else target.url,
        "path": shot.path,
        "headers": dict(shot.headers),
        "is_grpc": shot.is_grpc,
        "body": str(body),
        "log": str(log),
    }
    return [sys.executable, "-P", str(_CLIENT)], json.dumps(job).encode()


def _read(log: Path) -> Answers:
    """The log of h2load: microseconds since the epoch, status, microseconds that it took."""
    table = np.array(log.read_text().split(), np.int64).reshape(-1, 3)
    now = time.time()  # a request that failed before it was sent began when the log says, or now
    began_s = np.where(table[:, 0] > 0, table[:, 0] / 1e6, now)
    return Answers(began_s, table[:, 1], table[:, 2] / 1e6)
