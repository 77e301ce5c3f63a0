"""``normserve export``: a network of the zoo, or anybody's model, into a repository."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bundle import Bundle, BundleError
from bundle.precision import Precision
from exporters import ExportError, export
from models import SCENES
from models.scene import Scene
from normserve.console import NORM_LEGEND, bar, norm_table, remarks, stdout
from normserve.input_spec import InputSpec, parse_input
from normserve.sources import from_factory, from_zoo, of_scene

__all__ = ["command", "export_scene"]


_AS_IT_IS = "fp32"
_PRECISIONS = (_AS_IT_IS, Precision.FP16.value, Precision.INT8.value)


class _InputType(click.ParamType[InputSpec]):
    name = "NAME:DATATYPE[SIZES]"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> InputSpec:
        try:
            return parse_input(value)
        except ValueError as err:
            self.fail(str(err), param, ctx)


@click.command("export")
@click.argument("targets", nargs=-1, metavar="NAME|PACKAGE.MODULE:FACTORY...")
@click.option("--all", "everything", is_flag=True, help="Export every network of the zoo.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights: .safetensors, or a torch file that holds nothing but tensors.",
)
@click.option(
    "--input",
    "inputs",
    type=_InputType(),
    multiple=True,
    help="A tensor that the model takes, such as pixels:FP32[batch,3,224,224]; names are dynamic."
    " Not needed where the factory returns (model, example_inputs).",
)
@click.option(
    "--reference",
    "references",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Real inputs of a factory's model: an .npz with an array for each input. May be repeated.",
)
@click.option(
    "--recalibrate",
    is_flag=True,
    help="Re-estimate batch norm statistics from the reference inputs, on a copy, and export that.",
)
@click.option("--name", help="Of the model in the repository.  [default: the factory's name]")
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="The folder of all models.",
)
@click.option("--version", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace that version if it exists.")
@click.option("--opset", type=int, default=23, show_default=True, help="Of the ONNX file.")
@click.option(
    "--allow",
    multiple=True,
    metavar="CHECK",
    help="Export although this check fails; the manifest records it. May be given several times.",
)
@click.option(
    "--lower-group-norm",
    is_flag=True,
    help="Write GroupNormalization as primitives, for servers other than NormServe.",
)
@click.option(
    "--precision",
    type=click.Choice(_PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of the file: int8 for CPUs (takes reference inputs), fp16 for GPUs (no faster on a CPU).",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1, min_open=True),
    help="What fp16 or int8 may lose, as part of each output's largest value."
    "  [default: 0.01 in fp16, 0.05 in int8]",
)
def command(
    targets: tuple[str, ...],
    *,
    everything: bool,
    checkpoint: Path | None,
    inputs: tuple[InputSpec, ...],
    references: tuple[Path, ...],
    name: str | None,
    repository: Path,
    version: int,
    overwrite: bool,
    precision: str,
    **options: Any,
) -> None:
    """Export PyTorch models to ONNX and prove that they compute the same.

    A target is a network of the zoo (resnet, unet, llama ...) or a function that makes a model:
    package.module:factory returns an nn.Module, or a tuple of it and its example inputs. Nothing is
    written unless the file computes what torch computes.
    """
    chosen = (*SCENES, *targets) if everything else targets
    if not chosen:
        raise click.UsageError(
            f"name a network ({', '.join(SCENES)}), a package.module:factory, or say --all."
        )
    if len(chosen) > 1 and (checkpoint or inputs or references or name):
        raise click.UsageError(
            "--checkpoint, --input, --reference and --name belong to one target."
        )
    if references and ":" not in chosen[0]:
        raise click.UsageError(f"'{chosen[0]}' comes with its reference inputs.")
    common = {
        "repository": repository,
        "version": version,
        "overwrite": overwrite,
        "precision": None if precision == _AS_IT_IS else Precision(precision),
        **options,
    }
    bundles = []
    with bar("exporting") as progress:
        for done, target in enumerate(chosen):
            progress.update(done, len(chosen), target)

            def show(stage: str, target: str = target) -> None:
                progress.stage(f"{target}: {stage}")

            try:
                if ":" in target:
                    source = from_factory(target, checkpoint, inputs, references)
                    title = source.name if name is None else name
                else:
                    source = from_zoo(target, checkpoint)
                    title = source.name
                bundle = export(
                    source.model, **source.arguments, name=title, progress=show, **common
                )
            except (ExportError, BundleError, ValueError) as err:
                raise click.ClickException(f"{target}: {err}") from err
            except OSError as err:
                raise click.ClickException(
                    f"{target}: nothing can be written to '{repository}': {err.strerror}."
                ) from err
            bundles.append(bundle)
        progress.update(len(chosen), len(chosen), "done")
    for bundle in bundles:
        stdout.print(norm_table(bundle))
        for line in remarks(bundle):
            stdout.print(line)
        stdout.print(f"wrote {bundle.path} with report.html\n")
    stdout.print(NORM_LEGEND)


def export_scene(
    scene: Scene, *, progress: Callable[[str], None] | None = None, **options: Any
) -> Bundle:
    """Export a network of the zoo with its committed weights and its real reference inputs.

    Args:
        scene: the network.
        progress: is told each stage.
        options: further arguments of `exporters.export` (repository, version, overwrite …).

    Raises:
        ExportError: it cannot be exported.
        BundleExists: the version exists and is not to be overwritten.
    """
    source = of_scene(scene)
    return export(source.model, **source.arguments, name=source.name, progress=progress, **options)
