"""How long files of real architectures take to make and to run, against ``torch.onnx.export``.

Both ways in this one process with one thread, in turns, checks aside, each once before anything is
measured. The numbers are ratios of processor times (plain / ours): over 1, ours is faster. What two
sessions of one plain file differ by, in the same run, is the noise of running. The zoo's networks
are run among them. Needs the libraries of the architectures: `make bench-third-party`.

    python benchmarks/third_party.py [--rounds 40] [--names resnet bert …]
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnx
import torch
from exported_graphs import measure
from rich.progress import track
from torch.export import Dim
from torch.utils import _pytree as pytree

from bundle import lower_normalizations
from bundle.lowering import GROUP_NORM, INSTANCE_NORM
from bundle.runtime import onnxruntime
from exporters.convert import convert
from exporters.finish import finish
from models import SCENES
from tests.third_party.architecture import Architecture
from tests.third_party.catalogue import ARCHITECTURES

mpl.use("svg")
import matplotlib.pyplot as plt

ROWS = 2
"""Of the example: with one row, plain ``torch.onnx.export`` bakes the batch in."""

ZOO = "zoo: "
"""Begins the names of the networks that are this project's own."""

SAME_OF_SCALE = 1e-3
"""Of the largest output: beyond it the two files compute something else."""


def subjects() -> dict[str, Callable[[], Architecture]]:
    """All that is measured, by name; each is built when it is its turn."""
    zoo = {
        f"{ZOO}{name}": lambda scene=scene: Architecture(
            scene.load(), lambda _: scene.example_inputs()
        )
        for name, scene in SCENES.items()
    }
    return {**zoo, **{name: ARCHITECTURES[name] for name in sorted(ARCHITECTURES)}}


def plain(architecture: Architecture, inputs: Any) -> onnx.ModelProto:
    """Convert as ``torch.onnx.export`` does with its defaults, axis 0 dynamic."""
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    dynamic = (
        {name: _dynamic(value) for name, value in kwargs.items()}
        if kwargs
        else tuple(_dynamic(value) for value in args)
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        program = torch.onnx.export(
            architecture.model.eval(), args, kwargs=kwargs, dynamo=True, dynamic_shapes=dynamic
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing.")
    return program.model_proto


def ours(architecture: Architecture, inputs: Any) -> onnx.ModelProto:
    """Convert as an export does."""
    return finish(convert(architecture.model, inputs), name="case", lower_group_norm=False)


def _dynamic(value: object) -> dict[int, Any] | None:
    return {0: Dim.DYNAMIC} if isinstance(value, torch.Tensor) and value.ndim else None


def made(
    step: Callable[[Architecture, Any], onnx.ModelProto], architecture: Architecture, inputs: Any
) -> tuple[float, onnx.ModelProto | None]:
    """Processor seconds of one conversion and its file, or none where it fails."""
    gc.collect()
    began = time.process_time()
    try:
        model = step(architecture, inputs)
    # the other converter may raise anything, and that it failed is the result
    except Exception:  # noqa: BLE001 - see above
        return float("inf"), None
    return time.process_time() - began, model


def running(model: onnx.ModelProto, inputs: Any) -> Callable[[], list[np.ndarray]]:
    """One run of a file on ONNX Runtime's own session: no more than the graph is measured.

    Raises:
        ValueError: it has other inputs than the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [tensor.name for tensor in session.get_inputs()]
    if isinstance(inputs, Mapping) and set(names) <= set(inputs):
        tensors = [inputs[name] for name in names]
    else:
        tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, torch.Tensor)]
    feeds = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
    return lambda: session.run(None, feeds)


def compared(
    plain_file: onnx.ModelProto, our_file: onnx.ModelProto, inputs: Any, rounds: int
) -> Any:
    """How long both files take to run.

    Returns:
        The ratio and its quartiles, and the noise; what stands against it, as text, where they
        cannot be compared.
    """
    # as `bundle.open_model` opens a file on the CPU
    lower_normalizations(our_file, (GROUP_NORM, INSTANCE_NORM))
    try:
        theirs, again = running(plain_file, inputs), running(plain_file, inputs)
        expected = theirs()
    # of a file of the other converter, and whatever is wrong with that is the result
    except Exception:  # noqa: BLE001 - see above
        return "plain does not run"
    run = running(our_file, inputs)
    if not _are_same(expected, run()):
        return "other outputs"
    found = measure(theirs, run, rounds=rounds)
    found["noise"] = measure(theirs, again, rounds=rounds)["ratio"]
    return found


def _are_same(expected: list[np.ndarray], got: list[np.ndarray]) -> bool:
    return len(expected) == len(got) and all(
        a.shape == b.shape
        and np.allclose(a, b, rtol=0, atol=SAME_OF_SCALE * max(np.abs(a).max(initial=0.0), 1e-30))
        for a, b in zip(expected, got, strict=True)
    )


def measured(build: Callable[[], Architecture], *, rounds: int) -> dict[str, Any]:
    """What one architecture takes to make and to run."""
    torch.manual_seed(0)
    architecture = build()
    inputs = architecture.inputs(ROWS)
    (of_plain, plain_file), (of_ours, our_file) = (
        made(step, architecture, inputs) for step in (plain, ours)
    )
    if plain_file is None or our_file is None:
        return {
            "plain": "failed" if plain_file is None else "converted",
            "ours": "refused" if our_file is None else "converted",
        }
    return {
        "making": of_plain / of_ours,
        "running": compared(plain_file, our_file, inputs, rounds),
    }


def plot(ratios: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """The ratios of running, with the quartiles as whiskers."""
    names = sorted(ratios, key=lambda name: ratios[name]["ratio"])
    values = [ratios[name]["ratio"] for name in names]
    low = [max(0.0, ratios[n]["ratio"] - ratios[n]["quartiles"][0]) for n in names]
    high = [max(0.0, ratios[n]["quartiles"][1] - ratios[n]["ratio"]) for n in names]
    figure, axes = plt.subplots(figsize=(8, 0.2 * len(names) + 1.2), layout="constrained")
    axes.errorbar(values, names, xerr=[low, high], fmt="o", color="#3b6ea8", ecolor="#888888")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    ticks = [0.5, 0.75, 1, 1.5, 2, 3]
    axes.set_xticks(ticks, labels=map(str, ticks))
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    axes.set_xlabel("time of plain torch.onnx.export / time of NormServe's export")
    figure.savefig(path, metadata={"Date": None})


def page(results: Mapping[str, Mapping[str, Any]], rounds: int) -> str:
    """The page for a person."""
    both = {name: r for name, r in results.items() if "making" in r}
    run = {name: r["running"] for name, r in both.items() if isinstance(r["running"], dict)}
    odd = {name: r["running"] for name, r in both.items() if isinstance(r["running"], str)}
    others = {name: r for name, r in results.items() if "making" not in r}
    noise = [r["noise"] for r in run.values()]
    rows = [
        f"| {name} | {_ratio_of(r['running'])} | {r['making']:.2f} |" for name, r in both.items()
    ]
    return "\n".join(
        [
            "# Real architectures against plain torch.onnx.export",
            "",
            f"Made by `make bench-third-party` with torch {torch.__version__} and",
            f"onnxruntime {onnxruntime.__version__}: one thread, in turns in one process, with",
            f"{ROWS} rows. Ratios are the processor time of plain `torch.onnx.export` with its",
            "defaults over NormServe's; over 1, NormServe's is faster. Running is the file on ONNX",
            f"Runtime's CPU provider, medians of {rounds} rounds and the quartiles; making is the",
            "conversion, once, without the proof. In the same run two sessions of one plain file",
            f"differed by {_spread(noise)}: that much of running is noise.",
            "",
            f"- Running, {len(run)} networks: {_spread([r['ratio'] for r in run.values()])}.",
            f"- Making, {len(both)} networks: {_spread([r['making'] for r in both.values()])}.",
            "",
            "![ratios of running](third-party.svg)",
            "",
            "| network | running | making |",
            "|---|---|---|",
            *rows,
            "",
            *(f"- {name}: not compared, {why}" for name, why in sorted(odd.items())),
            *([""] if odd else []),
            "Not converted by one or both ([why NormServe refuses](../third-party.md)):",
            "",
            "| network | plain torch.onnx.export | NormServe |",
            "|---|---|---|",
            *(f"| {name} | {r['plain']} | {r['ours']} |" for name, r in sorted(others.items())),
            "",
        ]
    )


def _ratio_of(found: Any) -> str:
    if isinstance(found, str):
        return "–"
    return f"{found['ratio']:.2f} ({found['quartiles'][0]:.2f} to {found['quartiles'][1]:.2f})"


def _spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return (
        f"median {middle:.2f}, quartiles {low:.2f} and {high:.2f}, from {min(values):.2f} to"
        f" {max(values):.2f}"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--names", nargs="+", default=list(subjects()))
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # what torch's exporter says of packages that are not there
    builders, results = subjects(), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own remarks about its exporter
        measured(builders[arguments.names[0]], rounds=1)
        for name in track(arguments.names, description="measuring"):
            results[name] = measured(builders[name], rounds=arguments.rounds)
            print(name, results[name], flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "third-party.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.output / "third-party.md").write_text(page(results, arguments.rounds))
    run = {n: r["running"] for n, r in results.items() if isinstance(r.get("running"), dict)}
    plot(run, arguments.output / "third-party.svg")


if __name__ == "__main__":
    main()
