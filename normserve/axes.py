"""``normserve axes``: over which axes normalizations share statistics, as a measurement.

Without a target, the seven normalizations that the project is about, each by itself.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from rich import box
from rich.table import Table
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from exporters import ExportError
from exporters.statistics import (
    AxesMeasurement,
    Learned,
    NetworkAxes,
    Reach,
    measure_axes,
    measure_network,
)
from models.norms import SwitchableNorm2d
from normserve.console import bar, stdout
from normserve.input_spec import InputSpec, parse_input
from normserve.sources import Source, from_factory, from_zoo

__all__ = ["command"]

_N, _C, _H, _W = 4, 8, 5, 6
_LENGTH = 7
_LEGEND = (
    "An element of the input is changed; the outputs that move share a statistic with it. 'C (2 of"
    " 8)' is a group of 2 channels; a dash: nothing else moves."
    " 'yes / no': in training / at inference."
)


@dataclass(frozen=True, slots=True)
class _Norm:
    """A normalization to be measured by itself."""

    name: str
    make: Callable[[], nn.Module]
    belongs_to: str
    shape: tuple[int, ...] = (_N, _C, _H, _W)
    axes: str = "NCHW"


_NORMS = (
    _Norm(
        "BN", lambda: nn.BatchNorm2d(_C), "image classification and detection with large batches"
    ),
    _Norm("LN", lambda: nn.LayerNorm([_C, _H, _W]), "RNNs, Transformers"),
    _Norm(
        "LN (tokens)",
        lambda: nn.LayerNorm(_C),
        "Transformers: each token by itself",
        shape=(_N, _LENGTH, _C),
        axes="NLC",
    ),
    _Norm("IN", lambda: nn.InstanceNorm2d(_C, affine=True), "style transfer, GANs"),
    _Norm("GN", lambda: nn.GroupNorm(4, _C), "segmentation and detection with small batches"),
    _Norm(
        "WN",
        lambda: weight_norm(nn.Conv2d(_C, _C, 3, padding=1)),
        "RNNs, reinforcement learning",
    ),
    _Norm("SN", lambda: SwitchableNorm2d(_C), "several tasks or batch sizes with one network"),
    _Norm(
        "RMS",
        lambda: nn.RMSNorm(_C),
        "large language models",
        shape=(_N, _LENGTH, _C),
        axes="NLC",
    ),
)


def _inputs(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[InputSpec, ...]:
    try:
        return tuple(parse_input(value) for value in values)
    except ValueError as err:
        raise click.BadParameter(str(err), ctx, param) from err


@click.command("axes")
@click.argument("target", required=False, metavar="[NAME|PACKAGE.MODULE:FACTORY]")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights of a factory's model.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    callback=_inputs,
    metavar="NAME:DATATYPE[SIZES]",
    help="A tensor that a factory's model takes, such as pixels:FP32[batch,3,224,224].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    *,
    target: str | None,
    checkpoint: Path | None,
    inputs: tuple[InputSpec, ...],
    as_json: bool,
) -> None:
    """Measure over which axes normalizations share statistics, and whether rows depend on others.

    Without a target: batch, layer, instance, group, weight, switchable and RMS normalization. With
    a network of the zoo, or a function that makes a model: each of its layers, and the whole.
    """
    if target is None:
        if checkpoint or inputs:
            raise click.UsageError("--checkpoint and --input go with a package.module:factory.")
        measured = [_measured(norm) for norm in _NORMS]
        if as_json:
            click.echo(json.dumps({"norms": [_document(*pair) for pair in measured]}, indent=1))
        else:
            stdout.print(_norms_table(measured))
            stdout.print(_LEGEND)
        return
    try:
        network = _of_network(_source(target, checkpoint, inputs))
    except ExportError as err:
        raise click.ClickException(f"{target}: {err}") from err
    if as_json:
        click.echo(network.model_dump_json(indent=1))
        return
    stdout.print(_layers_table(target, network.layers))
    for layer, reason in network.unmeasured.items():
        stdout.print(f"{layer}: not measured: {reason}", markup=False)
    stdout.print(_LEGEND)
    stdout.print(
        f"Rows of the network depend on one another: {_both(network.train, network.eval)}."
    )


def _measured(norm: _Norm) -> tuple[_Norm, AxesMeasurement]:
    torch.manual_seed(0)
    return norm, measure_axes(norm.make(), torch.zeros(norm.shape), names=norm.axes)


def _document(norm: _Norm, found: AxesMeasurement) -> dict[str, object]:
    return {"norm": norm.name, "belongs_to": norm.belongs_to, **found.model_dump(mode="json")}


def _source(target: str, checkpoint: Path | None, inputs: tuple[InputSpec, ...]) -> Source:
    if ":" in target:
        return from_factory(target, checkpoint, inputs)
    return from_zoo(target, checkpoint)


def _of_network(source: Source) -> NetworkAxes:
    with bar("measuring") as progress:
        return measure_network(
            source.model, [source.arguments["example_inputs"]], progress=progress.update
        )


def _norms_table(measured: Sequence[tuple[_Norm, AxesMeasurement]]) -> Table:
    table = _table("Normalizations, measured", "norm")
    table.add_column("where it belongs")
    for norm, found in measured:
        table.add_row(norm.name, *_cells(found), norm.belongs_to)
    return table


def _layers_table(target: str, layers: Sequence[AxesMeasurement]) -> Table:
    table = _table(f"{target}: {len(layers)} layers, measured", "layer")
    table.columns[0].overflow = "fold"
    table.add_column("kind")
    for found in layers:
        table.add_row(found.layer or "(the model)", *_cells(found), found.kind)
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.add_column(first)
    table.add_column("of")
    table.add_column("over, in training")
    table.add_column("over, at inference")
    table.add_column("depends on the batch")
    table.add_column("learned per")
    return table


def _cells(found: AxesMeasurement) -> tuple[str, ...]:
    weights = "; ".join(
        f"{weight.weight}: {', '.join(map(str, weight.axes)) or '-'}" for weight in found.weights
    )
    modes = (found.train, found.eval)
    return (
        "".join(found.names),
        *(_over(reach, weights) for reach in modes),
        _both(*(None if reach is None else reach.batch_dependent for reach in modes)),
        "; ".join(_learned(found.learned)) or "-",
    )


def _over(reach: Reach | None, weights: str) -> str:
    data = "not measured" if reach is None else str(reach)
    return f"{data} ({weights})" if weights else data


def _both(train: bool | None, in_eval: bool | None) -> str:  # noqa: FBT001 - two measurements
    words = {True: "yes", False: "no", None: "not measured"}
    return words[train] if train == in_eval else f"{words[train]} / {words[in_eval]}"


def _learned(learned: Sequence[Learned]) -> Iterator[str]:
    """Parameters that tell the same axes apart, together."""
    by_axes: dict[tuple[str, ...], list[str]] = {}
    for found in learned:
        name = found.parameter.removeprefix("parametrizations.")
        by_axes.setdefault(found.axes, []).append(name)
    for axes, names in by_axes.items():
        yield f"{', '.join(axes) or 'layer'} ({', '.join(names)})"
