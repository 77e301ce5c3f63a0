"""Load from generators that are not the bottleneck: wrk for HTTP/1.1, h2load for gRPC."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from serving.bodies import Shot
from serving.servers import Server

__all__ = ["Measured", "fire", "require_generators"]

_SCRIPT = Path(__file__).resolve().with_name("post.lua")
_PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a round gave.

    Attributes:
        per_s: answers a second.
        p50_ms: half of the answers came within.
        p99_ms: all but one in a hundred came within; the longest where the generator says only
            that.
        cpu_ms: of the server's processor time an answer, milliseconds.
        failed: answers that were none, or refusals.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    failed: int


def require_generators() -> None:
    """Whether the generators are there.

    Raises:
        SystemExit: one is not.
    """
    missing = [package for tool, package in _PACKAGES.items() if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"install {' and '.join(missing)} (Debian's packages of these names)")


def fire(server: Server, shot: Shot, *, concurrency: int, seconds: float) -> Measured:
    """Ask again and again, over so many connections, each waiting for its answer."""
    with tempfile.TemporaryDirectory() as folder:
        body = shot.write(Path(folder))
        before = server.cpu_s()
        if shot.is_http2:
            count, per_s, p50, p99, failed = _h2load(server, shot, body, concurrency, seconds)
        else:
            count, per_s, p50, p99, failed = _wrk(server, shot, body, concurrency, seconds)
        used = server.cpu_s() - before
    return Measured(per_s, p50, p99, used / max(count, 1) * 1e3, failed)


def _wrk(
    server: Server, shot: Shot, body: Path, concurrency: int, seconds: float
) -> tuple[int, float, float, float, int]:
    command = ["wrk", "--latency", "-t1", f"-c{concurrency}", f"-d{max(1, round(seconds))}s"]
    command += ["-s", str(_SCRIPT), "--timeout", "60s"]
    for name, value in shot.headers.items():
        command += ["-H", f"{name}: {value}"]
    output = _run([*command, server.url + shot.path, "--", str(body)])
    count = int(_find(r"(\d+) requests in", output))
    failed = int(_find(r"Non-2xx or 3xx responses: (\d+)", output, default="0"))
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output
    )
    failed += sum(map(int, errors.groups())) if errors else 0
    per_s = float(_find(r"Requests/sec:\s+([\d.]+)", output))
    return count, per_s, _quantile(output, "50%"), _quantile(output, "99%"), failed


def _h2load(
    server: Server, shot: Shot, body: Path, concurrency: int, seconds: float
) -> tuple[int, float, float, float, int]:
    command = ["h2load", f"-c{concurrency}", "-m1", "-t1", f"-D{max(1, round(seconds))}"]
    command += ["-d", str(body)]
    for name, value in shot.headers.items():
        command += ["-H", f"{name}: {value}"]
    output = _run([*command, f"http://{server.grpc}{shot.path}"])
    count = int(_find(r"(\d+) succeeded", output))
    failed = int(_find(r"(\d+) failed", output)) + int(_find(r"(\d+) errored", output))
    per_s = float(_find(r"finished in [\d.]+\w+, ([\d.]+) req/s", output))
    request = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", output)
    longest, mean = request.groups() if request else ("nan", "nan")
    return count, per_s, _milliseconds(mean), _milliseconds(longest), failed


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _find(pattern: str, output: str, *, default: str | None = None) -> str:
    found = re.search(pattern, output)
    if found is not None:
        return found[1]
    if default is None:
        raise ValueError(f"no {pattern!r} in what the generator says:\n{output}")
    return default


def _quantile(output: str, quantile: str) -> float:
    return _milliseconds(_find(rf"{quantile}\s+(\S+)", output))


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")
