"""What NormServe costs around ONNX Runtime, and what others cost.

Everything in one run on one machine: the runtime alone in a loop, with one thread and with two and
the best of some batches, which is the limit; the server that tutorials write; NormServe over HTTP
with JSON, with binary tensors, and over gRPC. Servers take turns, so that what else the machine
does falls on all of them. Answers are held against the runtime before anything is timed.

    python benchmarks/serving [--models mlp resnet bert] [--rounds 5] [--seconds 3] [--output DIR]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import onnx
from rich.console import Console
from rich.progress import track
from rich.table import Table
from serving.bodies import Shot, answer_of, grpc_shot, shots
from serving.load import Measured, fire, require_generators
from serving.networks import NETWORKS
from serving.servers import Server, batches_are_formed, naive, normserve

from bundle.runtime import onnxruntime

CONCURRENCY = (1, 16, 64)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


def bare_loop(model: Path, row: np.ndarray, *, seconds: float) -> float:
    """Rows a second of the runtime alone: the best of one or two threads and any batch."""
    best = 0.0
    for threads in (1, min(2, os.cpu_count() or 1)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for batch in BATCHES:
            feeds = {"x": np.concatenate([row] * batch)}
            session.run(None, feeds)
            count, began = 0, time.perf_counter()
            while (took := time.perf_counter() - began) < seconds / 10:
                session.run(None, feeds)
                count += 1
            best = max(best, count * batch / took)
    return best


def verify(name: str, server: Server, shot: Shot, wanted: np.ndarray) -> None:
    """Hold an answer against the runtime's.

    Raises:
        AssertionError: it differs.
    """
    np.testing.assert_allclose(answer_of(name, server.url, shot), wanted, rtol=1e-4, atol=1e-5)


def throughput(
    model: str, repository: Path, *, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Answers a second of every server at every concurrency, and of the runtime alone."""
    row = NETWORKS[model].row(np.random.default_rng(1))
    path = repository / model / "1" / "model.onnx"
    forms = shots(model, row)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": row})
    with ExitStack() as stack:
        say(f"{model}: starting the servers")
        ours = stack.enter_context(normserve(repository))
        batches_are_formed(ours, model)
        theirs = stack.enter_context(naive(path))
        for name, shot in forms.items():
            verify(name, theirs if name == "naive" else ours, shot, wanted)
        entries: Mapping[str, tuple[Server, Shot]] = {
            **{n: (theirs if n == "naive" else ours, shot) for n, shot in forms.items()},
            "gRPC": (ours, grpc_shot(model, row)),
        }
        bare: list[float] = []
        rates: dict[str, dict[int, list[Measured]]] = {
            name: {c: [] for c in CONCURRENCY} for name in entries
        }
        for _ in track(range(rounds), description=model):
            bare.append(bare_loop(path, row, seconds=seconds))
            for concurrency in CONCURRENCY:
                for name, (server, shot) in entries.items():
                    measured = fire(server, shot, concurrency=concurrency, seconds=seconds)
                    rates[name][concurrency].append(measured)
    return {
        "bare": bare,
        "servers": {
            name: {str(c): [asdict(each) for each in rounds_of] for c, rounds_of in by.items()}
            for name, by in rates.items()
        },
    }


def table_of(model: str, result: Mapping[str, Any]) -> Table:
    """The medians, against the runtime alone and against the tutorials' server."""
    bare = statistics.median(result["bare"])
    table = Table(title=f"{model}: {bare:,.0f} rows/s by the runtime alone")
    for column in ("server", "at once", "answers/s", "of bare", "× naive", "p50 ms", "CPU ms"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for concurrency in CONCURRENCY:
        reference = _median(result["servers"]["naive"][str(concurrency)], "per_s")
        for name, by in result["servers"].items():
            measured = by[str(concurrency)]
            failed = sum(each["failed"] for each in measured)
            rate = _median(measured, "per_s")
            table.add_row(
                name + (f" ({failed} failed)" if failed else ""),
                str(concurrency),
                f"{rate:,.0f}",
                f"{rate / bare:.2f}",
                f"{rate / reference:.2f}",
                f"{_median(measured, 'p50_ms'):.2f}",
                f"{_median(measured, 'cpu_ms'):.3f}",
            )
    return table


def _median(measured: list[dict[str, float]], field: str) -> float:
    return statistics.median(each[field] for each in measured)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=["mlp", "resnet", "bert"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    require_generators()
    console = Console()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen.models:
            repository = Path(folder) / model
            (repository / model / "1").mkdir(parents=True)
            onnx.save(NETWORKS[model].build(), repository / model / "1" / "model.onnx")
            results[model] = throughput(
                model,
                repository,
                rounds=chosen.rounds,
                seconds=chosen.seconds,
                say=partial(console.print, style="dim"),
            )
            console.print(table_of(model, results[model]))
    if chosen.output is not None:
        chosen.output.mkdir(parents=True, exist_ok=True)
        (chosen.output / "serving.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
