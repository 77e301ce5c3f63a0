"""How long a conversion takes against plain ``torch.onnx.export``, on real architectures.

Both in this one process with one thread, in turns, checks aside, each once before anything is
measured. The number is the ratio of the processor times (plain / ours): over 1, ours is faster.
Needs the libraries of the architectures: `make bench-third-party`.

    python benchmarks/third_party_conversion.py [--rounds 1] [--names resnet bert …]
"""

import argparse
import contextlib
import gc
import io
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch.export import Dim

from exporters.convert import convert
from tests.third_party.architecture import Architecture
from tests.third_party.catalogue import ARCHITECTURES

ROWS = 2
"""Of the example: with one row, plain ``torch.onnx.export`` bakes the batch in."""


def plain(architecture: Architecture) -> None:
    """Convert as ``torch.onnx.export`` does with its defaults, axis 0 dynamic."""
    inputs = architecture.inputs(ROWS)
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    dynamic = (
        {name: _dynamic(value) for name, value in kwargs.items()}
        if kwargs
        else tuple(_dynamic(value) for value in args)
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(
            architecture.model.eval(), args, kwargs=kwargs, dynamo=True, dynamic_shapes=dynamic
        )


def ours(architecture: Architecture) -> None:
    """Convert as an export does."""
    convert(architecture.model, architecture.inputs(ROWS))


def _dynamic(value: object) -> dict[int, Any] | None:
    return {0: Dim.DYNAMIC} if isinstance(value, torch.Tensor) and value.ndim else None


def seconds(step: Callable[[Architecture], None], architecture: Architecture) -> float:
    """Processor seconds of one conversion, infinite where it fails."""
    gc.collect()
    began = time.process_time()
    try:
        step(architecture)
    # the other converter may raise anything, and that it failed is the result
    except Exception:  # noqa: BLE001 - see above
        return float("inf")
    return time.process_time() - began


def measure(name: str, rounds: int) -> dict[str, float | str]:
    """Both, in turns; the medians of the rounds."""
    architecture = ARCHITECTURES[name]()
    times = [(seconds(plain, architecture), seconds(ours, architecture)) for _ in range(rounds)]
    of_plain, of_ours = (statistics.median(column) for column in zip(*times, strict=True))
    if float("inf") in (of_plain, of_ours):
        return {
            "plain": "failed" if of_plain == float("inf") else "converted",
            "ours": "refused" if of_ours == float("inf") else "converted",
        }
    return {"ratio": of_plain / of_ours}


def page(results: dict[str, dict[str, float | str]], rounds: int) -> str:
    """The page for a person."""
    ratios = {name: float(r["ratio"]) for name, r in results.items() if "ratio" in r}
    others = {name: r for name, r in results.items() if "ratio" not in r}
    low, middle, high = statistics.quantiles(ratios.values(), n=4)
    return "\n".join(
        [
            "# Conversion against plain torch.onnx.export, on real architectures",
            "",
            f"Made by `make bench-third-party` with torch {torch.__version__}: one thread, in",
            f"turns in one process, {rounds} round(s), an example of {ROWS} rows, checks aside.",
            "The ratio is the processor time of plain `torch.onnx.export` with its defaults over",
            "that of `exporters.convert.convert`; over 1, NormServe's is faster.",
            "",
            f"Over {len(ratios)} architectures that both convert: median {middle:.2f}, quartiles",
            f"{low:.2f} and {high:.2f}, least {min(ratios.values()):.2f}.",
            "",
            "| architecture | ratio |",
            "|---|---|",
            *(f"| {name} | {ratio:.2f} |" for name, ratio in sorted(ratios.items())),
            "",
            "Not converted by one or both ([why NormServe refuses](../third-party.md)):",
            "",
            "| architecture | plain torch.onnx.export | NormServe |",
            "|---|---|---|",
            *(f"| {name} | {r['plain']} | {r['ours']} |" for name, r in sorted(others.items())),
            "",
        ]
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--names", nargs="+", default=sorted(ARCHITECTURES))
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # what torch's exporter says of packages that are not there
    results = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own remarks about its exporter
        measure(arguments.names[0], 1)
        for name in track(arguments.names, description="converting"):
            results[name] = measure(name, arguments.rounds)
            print(name, results[name])
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "third-party.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.output / "third-party.md").write_text(page(results, arguments.rounds))


if __name__ == "__main__":
    main()
