"""A model's process killed again and again while it is asked: who notices, and for how long."""

import os
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serving.scale import Run
from serving.servers import examine, verify, write

from normserve.bench.load import fire
from normserve.bench.server import Server, established, normserve
from normserve.bench.shots import HTTP_BINARY

__all__ = ["Deaths", "measure_deaths"]

_CLIENTS = 16
_BETWEEN_S = 0.6
_TAIL_S = 1.5


@dataclass(frozen=True, slots=True)
class Deaths:
    """What became of the requests.

    Attributes:
        kills: SIGKILLs that were sent.
        requests: that ended in the time.
        failed: of them, without a good answer.
        back_s: from each kill to the end of the first good answer to a request that began after it.
    """

    kills: int
    requests: int
    failed: int
    back_s: tuple[float, ...]


def measure_deaths(run: Run) -> Deaths:
    """Measure."""
    kills = run.scale.kills
    seconds = kills * _BETWEEN_S + _TAIL_S
    killed: list[float] = []
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as pool:
        network = "resnet" if "resnet" in run.scale.networks else run.scale.networks[-1]
        served = write(Path(name), network)
        examine(served, run)
        with normserve(Path(name), settings=run.settings) as server:
            established(server, served.name)
            shot = served.shots[HTTP_BINARY]
            verify(server, served, {HTTP_BINARY: shot})
            firing = pool.submit(fire, server.target, shot, concurrency=_CLIENTS, seconds=seconds)
            for number in range(kills):
                stop.wait(_BETWEEN_S)
                run.say(f"{number + 1} of {kills}")
                killed.extend(_kill(server))
            answers = firing.result()
            verify(server, served, {HTTP_BINARY: shot})
    good = answers.where(answers.is_good)
    back = []
    for moment in killed:
        later = good.where(good.began_s > moment)
        back.append(float(later.ended_s.min() - moment) if len(later) else float("inf"))
    return Deaths(len(killed), len(answers), len(answers) - len(good), tuple(back))


def _kill(server: Server) -> list[float]:
    """Kill the processes of models: the children of the one that they are forked from."""
    tree = server.processes
    moments = []
    for child in tree.children(tree.pid):
        for worker in tree.children(child):
            os.kill(worker, signal.SIGKILL)
            moments.append(time.time())
    return moments
