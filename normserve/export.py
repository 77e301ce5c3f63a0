"""``normserve export``: a network of the zoo, or anybody's model, into a repository."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from torch import nn

from bundle import Bundle, BundleError
from exporters import ExportError, export, load_checkpoint, resolve_factory
from models import SCENES
from models.scene import Scene
from normserve.console import NORM_LEGEND, bar, norm_table, stdout
from normserve.input_spec import InputSpec, parse_input

__all__ = ["command", "export_scene"]


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
    "--allow-batch-statistics",
    is_flag=True,
    help="Export layers that use batch statistics at inference; the manifest names them.",
)
@click.option(
    "--lower-group-norm",
    is_flag=True,
    help="Write GroupNormalization as primitives, for servers other than NormServe.",
)
def command(
    targets: tuple[str, ...],
    *,
    everything: bool,
    checkpoint: Path | None,
    inputs: tuple[InputSpec, ...],
    name: str | None,
    repository: Path,
    version: int,
    overwrite: bool,
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
    if len(chosen) > 1 and (checkpoint or inputs or name):
        raise click.UsageError("--checkpoint, --input and --name belong to one target.")
    common = {"repository": repository, "version": version, "overwrite": overwrite, **options}
    bundles = []
    with bar("exporting") as progress:
        for done, target in enumerate(chosen):
            progress.update(done, len(chosen), target)

            def show(stage: str, target: str = target) -> None:
                progress.stage(f"{target}: {stage}")

            try:
                if ":" in target:
                    module, arguments = _from_factory(target, checkpoint, inputs)
                    title = name or target.rpartition(":")[2].rpartition(".")[2]
                    bundle = export(module, **arguments, name=title, progress=show, **common)
                else:
                    bundle = _from_zoo(target, checkpoint, progress=show, **common)
            except (ExportError, BundleError) as err:
                raise click.ClickException(f"{target}: {err}") from err
            bundles.append(bundle)
        progress.update(len(chosen), len(chosen), "done")
    for bundle in bundles:
        stdout.print(norm_table(bundle))
        stdout.print(f"wrote {bundle.path}\n")
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
    return export(
        scene.load(),
        scene.example_inputs(),
        name=scene.name,
        dynamic_shapes={name: dict(axes) for name, axes in scene.dynamic_shapes.items()},
        reference_inputs=scene.reference_inputs(),
        input_names=scene.input_names,
        output_names=scene.output_names,
        source=f"models:{scene.name}",
        progress=progress,
        **options,
    )


def _from_zoo(
    name: str, checkpoint: Path | None, *, progress: Callable[[str], None], **options: Any
) -> Bundle:
    if name not in SCENES:
        raise click.UsageError(
            f"'{name}' is no network of the zoo ({', '.join(SCENES)})"
            " and no package.module:factory."
        )
    if checkpoint is not None:
        raise click.UsageError(
            f"'{name}' comes with its weights; --checkpoint goes with package.module:factory."
        )
    return export_scene(SCENES[name], progress=progress, **options)


def _from_factory(
    target: str, checkpoint: Path | None, inputs: tuple[InputSpec, ...]
) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a factory, and the arguments of `exporters.export` that say how it is called."""
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it: a package need not be installed
    made = resolve_factory(target)()
    module, example = made if isinstance(made, tuple) else (made, None)
    arguments: dict[str, Any] = {"source": target}
    if checkpoint is not None:
        arguments["checkpoint_sha256"] = load_checkpoint(module, checkpoint)
    if inputs:
        arguments["example_inputs"] = {spec.name: spec.example() for spec in inputs}
        arguments["dynamic_shapes"] = {spec.name: dict(spec.dynamic) for spec in inputs}
    elif example is not None:
        arguments["example_inputs"] = example
    else:
        raise click.UsageError(
            f"'{target}' returns a model without example inputs; describe what it takes, such as"
            " --input pixels:FP32[batch,3,224,224], or return (model, example_inputs)."
        )
    return module, arguments
