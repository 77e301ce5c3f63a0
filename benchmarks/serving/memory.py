"""Resident memory of a small model, served and alone, over all processes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.scale import Run
from serving.servers import examine, naive, naive_shot, verify, write

from normserve.bench.load import fire
from normserve.bench.processes import ProcessTree
from normserve.bench.server import established, normserve

__all__ = ["Memory", "alone", "measure_memory"]

_REQUESTS = 200
_ALONE = """
import sys, numpy, onnxruntime
opened = onnxruntime.InferenceSession
sessions = [opened(path, providers=["CPUExecutionProvider"]) for path in sys.argv[1:]]
for session in sessions:
    for _ in range(200):
        session.run(None, {"x": numpy.zeros((1, 16), numpy.float32)})
print(flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB, a round each, after some hundred requests and once nothing is examined any more.

    Attributes:
        alone_mib: Python with numpy and onnxruntime and the model, in a loop.
        naive_mib: the server that tutorials write.
        ours_mib: NormServe.
        our_processes: of which that is the memory.
    """

    alone_mib: tuple[float, ...]
    naive_mib: tuple[float, ...]
    ours_mib: tuple[float, ...]
    our_processes: int


def measure_memory(run: Run) -> Memory:
    """Measure, one after the other."""
    bare: list[float] = []
    theirs: list[float] = []
    ours: list[float] = []
    processes = 0
    with tempfile.TemporaryDirectory() as name:
        served = write(Path(name), "mlp")
        examine(served, run)
        shots = served.shots
        for number in range(run.scale.rounds):
            run.say(f"round {number + 1} of {run.scale.rounds}")
            with alone([served.path]) as tree:
                bare.append(tree.resident_mib())
            with naive(served) as server:
                fire(server.target, naive_shot(served), concurrency=4, requests=_REQUESTS)
                theirs.append(server.processes.resident_mib())
            with normserve(served.path.parents[2], settings=run.settings) as server:
                established(server, served.name)
                verify(server, served, shots)
                for shot in shots.values():
                    fire(server.target, shot, concurrency=4, requests=_REQUESTS)
                ours.append(server.processes.resident_mib())
                processes = len(server.processes.ids())
    return Memory(tuple(bare), tuple(theirs), tuple(ours), processes)


@contextmanager
def alone(paths: list[Path]) -> Iterator[ProcessTree]:
    """A process that has opened some models and has run each."""
    command = [sys.executable, "-c", _ALONE, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe
        yield ProcessTree(process.pid)
        process.stdin.close()  # type: ignore[union-attr]
