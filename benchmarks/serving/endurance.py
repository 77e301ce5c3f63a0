"""Many requests of every kind, and what the server holds before and after them."""

import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serving.scale import Run
from serving.servers import examine, verify, write

from normserve.bench.load import fire
from normserve.bench.server import Server, established, normserve
from normserve.bench.shots import GRPC, HTTP_BINARY, HTTP_JSON, Shot

__all__ = ["Endurance", "Held", "measure_endurance"]

_CONNECTIONS = 8
_SETTLE_S = 20.0
_ALIKE = 5


@dataclass(frozen=True, slots=True)
class Held:
    """What the server holds, all its processes together, while nobody is connected.

    Attributes:
        requests: that it has had so far.
        resident_mib: resident memory.
        descriptors: open file descriptors.
        threads: of all processes.
    """

    requests: int
    resident_mib: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Endurance:
    """All samples.

    Attributes:
        kinds: how many requests of each kind, altogether.
        wrong: requests that ended otherwise than their kind should: errors as 400 or 404, all
            others as 200.
        seconds: that it took.
        held: at the start, after each part of the requests; the second sample is the state that
            the others are compared with, once every pool was used.
    """

    kinds: Mapping[str, int]
    wrong: int
    seconds: float
    held: tuple[Held, ...]


def measure_endurance(run: Run) -> Endurance:
    """Measure: as many requests as the scale says, and a part of them before, to warm up."""
    part = run.scale.mixed_requests // run.scale.samples
    with tempfile.TemporaryDirectory() as name:
        served = write(Path(name), "mlp")
        examine(served, run)
        shots = served.shots
        good = shots[HTTP_JSON]
        kinds: dict[str, tuple[Shot, int, int]] = {
            HTTP_JSON: (good, part * 3 // 10, 200),
            HTTP_BINARY: (shots[HTTP_BINARY], part * 3 // 10, 200),
            GRPC: (shots[GRPC], part * 3 // 10, 200),
            "no JSON": (Shot(good.path, b"{", good.headers), part // 20, 400),
            "no such model": (
                Shot("/v2/models/nobody/infer", good.body, good.headers),
                part // 20,
                404,
            ),
        }
        with (
            normserve(Path(name), settings=run.settings) as server,
            ThreadPoolExecutor(len(kinds)) as pool,
        ):
            established(server, served.name)
            verify(server, served, shots)
            held, wrong, began = [_held(server, 0)], 0, time.monotonic()
            for number in range(run.scale.samples + 1):
                run.say(f"{held[-1].requests:,} of {run.scale.mixed_requests + part:,} requests")
                firing = {
                    kind: pool.submit(
                        fire, server.target, shot, concurrency=_CONNECTIONS, requests=count
                    )
                    for kind, (shot, count, _) in kinds.items()
                }
                for kind, future in firing.items():
                    _, count, status = kinds[kind]
                    wrong += count - int((future.result().status == status).sum())
                held.append(_held(server, (number + 1) * part))
            seconds = time.monotonic() - began
    counts = {kind: count * (run.scale.samples + 1) for kind, (_, count, _) in kinds.items()}
    return Endurance(counts, wrong, seconds, tuple(held))


def _held(server: Server, requests: int) -> Held:
    """A sample, once the server has closed its side of the connections, or after a while."""
    tree, end, alike, last = server.processes, time.monotonic() + _SETTLE_S, 0, -1
    while alike < _ALIKE and time.monotonic() < end:
        time.sleep(0.1)
        now = tree.descriptors()
        alike, last = (alike + 1 if now == last else 0), now
    return Held(requests, tree.resident_mib(), tree.descriptors(), tree.threads())
