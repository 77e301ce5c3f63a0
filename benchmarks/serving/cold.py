"""From the start of a process to its first right answer, for a model of microseconds."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from serving.scale import Run
from serving.servers import NAIVE, examine, naive, naive_shot, verify, write

from normserve.bench.server import normserve
from normserve.bench.shots import HTTP_JSON

__all__ = ["Cold", "measure_cold"]

_ALONE = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {"x": numpy.zeros((1, 16), numpy.float32)}), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Cold:
    """Seconds, a round each.

    Attributes:
        alone_s: Python that imports onnxruntime, opens the model and runs it.
        naive_s: the server that tutorials write.
        first_s: NormServe, where nothing of the model is known yet.
        again_s: NormServe, where an earlier start has left its certificate.
    """

    alone_s: tuple[float, ...]
    naive_s: tuple[float, ...]
    first_s: tuple[float, ...]
    again_s: tuple[float, ...]


def measure_cold(run: Run) -> Cold:
    """Measure; the first round is one more, which brings the files into memory."""
    alone: list[float] = []
    theirs: list[float] = []
    first: list[float] = []
    again: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        served = write(Path(name, "repository"), "mlp")
        examine(served, run)
        repository = served.path.parents[2]
        shot, other = served.shots[HTTP_JSON], naive_shot(served)
        kept = {"consistency_cache": run.certificates}
        for number in range(run.scale.rounds + 1):
            run.say(f"round {number} of {run.scale.rounds}")
            alone.append(_alone(served.path))
            with naive(served, other) as server:
                theirs.append(server.cold_s)
                verify(server, served, {NAIVE: other})
            with tempfile.TemporaryDirectory() as nothing:
                known = {"consistency_cache": nothing}
                with normserve(repository, first=shot, settings=known) as server:
                    first.append(server.cold_s)
                    verify(server, served, {HTTP_JSON: shot})
            with normserve(repository, first=shot, settings=kept) as server:
                again.append(server.cold_s)
                verify(server, served, {HTTP_JSON: shot})
    return Cold(tuple(alone[1:]), tuple(theirs[1:]), tuple(first[1:]), tuple(again[1:]))


def _alone(path: Path) -> float:
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _ALONE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe
        took = time.monotonic() - began
        process.stdin.close()  # type: ignore[union-attr]
    return took
