"""What is compared: NormServe over networks of ours, and the server that tutorials write."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from serving.networks import NETWORKS, Network
from serving.scale import Run

from bundle.runtime import onnxruntime
from normserve.bench.server import Server, established, free_port, normserve, running
from normserve.bench.shots import Shot, Target, ask, forms, send

__all__ = [
    "EMPTY",
    "NAIVE",
    "Network",
    "Served",
    "examine",
    "naive",
    "naive_shot",
    "verify",
    "write",
]

NAIVE = "naive FastAPI"
EMPTY = Shot("/empty")
_HERE = Path(__file__).resolve().parent
_TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}  # a server of the wrong model is further off than that


@dataclass(frozen=True, slots=True)
class Served:
    """A network in a repository, one request, and the runtime's answer to it.

    Attributes:
        name: of the model.
        path: of the ONNX file.
        row: the request, (rows, …).
        answer: to it.
    """

    name: str
    path: Path
    row: np.ndarray
    answer: np.ndarray

    @property
    def shots(self) -> dict[str, Shot]:
        """The request in every form of the protocol."""
        return forms(self.name, {"x": self.row})

    def session(self, threads: int) -> onnxruntime.InferenceSession:
        """The runtime alone."""
        return _session(self.path, threads)

    def run(self, threads: int) -> object:
        """A function that runs named arrays."""
        session = self.session(threads)
        return lambda feeds: session.run(None, feeds)


def write(repository: Path, network: str | Network, *, name: str = "", rows: int = 1) -> Served:
    """Put a network into a repository."""
    chosen = NETWORKS[network] if isinstance(network, str) else network
    name = name or (network if isinstance(network, str) else "network")
    path = repository / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(chosen.build(), path)
    generator = np.random.default_rng(1)
    row = np.concatenate([chosen.row(generator) for _ in range(rows)])
    (answer,) = _session(path, 1).run(None, {"x": row})
    return Served(name, path, row, answer)


def examine(served: Served, run: Run) -> None:
    """Have a server establish which requests share runs, once in a run of the benchmark.

    The servers that are measured find it kept. What else is checked of a plain file, in the
    background, takes minutes for a large one; it is not waited for.
    """
    known = run.certificates / f"{sha256(served.path.read_bytes()).hexdigest()}.examined"
    if not known.exists():
        run.say(f"{served.name}: which requests share runs")
        settings = {"consistency_cache": run.certificates}
        with normserve(served.path.parents[2], settings=settings) as server:
            established(server, served.name, is_thorough=False)
        known.touch()


@contextmanager
def naive(served: Served, first: Shot = EMPTY) -> Iterator[Server]:
    """The server of the tutorials over one model, by the command that they give."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "naive:app", "--port", str(port)]
    command += ["--app-dir", str(_HERE)]
    environment = {**os.environ, "MODEL": str(served.path)}
    target = Target(f"http://127.0.0.1:{port}")
    with running(command, target, first, environment=environment) as server:
        yield server


def naive_shot(served: Served) -> Shot:
    """The request as that server wants it."""
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    return Shot("/predict", json.dumps({"data": served.row.tolist()}).encode(), headers)


def verify(server: Server, served: Served, shots: dict[str, Shot]) -> None:
    """Hold a server's answers against the runtime's.

    Raises:
        AssertionError: one is another.
        Refused: there is none.
    """
    for form, shot in shots.items():
        if form == NAIVE:
            content, _ = send(server.target, shot)
            got = np.array(json.loads(content)["data"], np.float32)
        else:
            (got,) = ask(server.target, shot).values()
        np.testing.assert_allclose(got, served.answer, **_TOLERANCE)


@lru_cache(maxsize=4)
def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
