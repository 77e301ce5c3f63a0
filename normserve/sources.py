"""Where a torch model comes from: a network of the zoo, or anybody's function. Exports nothing."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from torch import nn

from exporters import load_checkpoint, resolve_factory
from exporters.statistics import NamedMetric
from models import SCENES
from models.scene import Scene
from models.training import runner
from normserve.input_spec import InputSpec
from normserve.reference_inputs import read_references

__all__ = ["Source", "from_factory", "from_zoo", "of_scene"]


@dataclass(frozen=True, slots=True)
class Source:
    """A model, and the arguments with which it is exported.

    Attributes:
        model: to be exported.
        name: what it is called where nothing else is said.
        arguments: further ones of `exporters.export`: example inputs, dimensions …
    """

    model: nn.Module
    name: str
    arguments: dict[str, Any]


def of_scene(scene: Scene) -> Source:
    """A network of the zoo with its committed weights and its real reference inputs."""
    return Source(
        scene.load(),
        scene.name,
        {
            "example_inputs": scene.example_inputs(),
            "dynamic_shapes": {name: dict(axes) for name, axes in scene.dynamic_shapes.items()},
            "reference_inputs": scene.reference_inputs(),
            "input_names": scene.input_names,
            "output_names": scene.output_names,
            "source": f"models:{scene.name}",
            "metric": NamedMetric(scene.metric.name, lambda model: _judge(model, scene)),
        },
    )


def _judge(model: nn.Module, scene: Scene) -> float:
    test_set = scene.test_set()
    answer = runner(model, scene)
    return scene.metric.compute([answer(batch) for batch in test_set.batches], test_set)


def from_zoo(name: str, checkpoint: Path | None) -> Source:
    """A network of the zoo by its name.

    Raises:
        click.UsageError: there is none of that name, or a checkpoint was given for it.
    """
    if name not in SCENES:
        raise click.UsageError(
            f"'{name}' is no network of the zoo ({', '.join(SCENES)})"
            " and no package.module:factory."
        )
    if checkpoint is not None:
        raise click.UsageError(
            f"'{name}' comes with its weights; --checkpoint goes with package.module:factory."
        )
    return of_scene(SCENES[name])


def from_factory(
    target: str,
    checkpoint: Path | None,
    inputs: tuple[InputSpec, ...],
    references: tuple[Path, ...] = (),
) -> Source:
    """What ``package.module:factory`` makes: a model, or it and its inputs.

    Args:
        target: returns a model, ``(model, example_inputs)`` or ``(model, example_inputs,
            reference_inputs)``.
        checkpoint: weights for it.
        inputs: what it takes, in place of the factory's example.
        references: files of real inputs, in place of the factory's.

    Raises:
        ExportError: it makes no model, or the checkpoint does not fit it.
        ValueError: a file of real inputs is none.
        click.UsageError: nothing says what the model takes.
    """
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it: a package need not be installed
    made = resolve_factory(target)()
    module, example, real = (
        (*made, None, None)[:3] if isinstance(made, tuple) else (made, None, None)
    )
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
    if references or real is not None:
        arguments["reference_inputs"] = read_references(references) or list(real)
    return Source(module, target.rpartition(":")[2].rpartition(".")[2], arguments)
