"""Where a torch model comes from: a network of the zoo, or anybody's function. Exports nothing."""

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from torch import nn

from exporters import FactoryInvalid, load_checkpoint, resolve_factory
from exporters.statistics import NamedMetric
from models import SCENES
from models.scene import Scene
from models.training import runner
from normserve.input_spec import InputSpec
from normserve.reference_inputs import read_references

__all__ = ["Source", "from_factory", "from_zoo", "of_scene"]

_MOST_PARTS = 3
"""A model, its example inputs, its reference inputs."""


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
        ExportError: it raises, makes no model, or the checkpoint does not fit it.
        ValueError: a file of real inputs is none, or an input is too large for this machine.
        click.UsageError: nothing says what the model takes, or two descriptions do.
    """
    names = [spec.name for spec in inputs]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise click.UsageError(f"--input describes '{min(repeated)}' more than once.")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it: a package need not be installed
    module, example, real = _made_by(target)
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


def _made_by(target: str) -> tuple[nn.Module, Any, Any]:
    """The model that a factory makes, its example inputs and its reference inputs."""
    factory = resolve_factory(target)
    try:
        made = factory()
    # It is the user's function: it may raise anything.
    except Exception as err:
        frames = traceback.extract_tb(err.__traceback__)[1:]  # the first is this function's
        where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
        raise FactoryInvalid(
            f"'{target}', called without arguments, raises {type(err).__name__}: {err}{where}"
        ) from err
    parts = made if isinstance(made, tuple) else (made,)
    if not 1 <= len(parts) <= _MOST_PARTS or not isinstance(parts[0], nn.Module):
        got = ", ".join(type(part).__name__ for part in parts)
        raise FactoryInvalid(
            f"'{target}' returns {f'({got})' if isinstance(made, tuple) else got}; it has to return"
            " an nn.Module, (model, example_inputs) or (model, example_inputs, reference_inputs)."
        )
    module, example, real = (*parts, None, None)[:_MOST_PARTS]
    return module, example, real
