"""Turn a scene's recipe into its committed weights and its model card."""

import json
import platform
import time
from importlib.metadata import version

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from models.card import Training, write_card
from models.recipe import THREADS, reproducible
from models.registry import scene
from models.scene import Arrays, Progress, Run, Scene

PACKAGES = ("torch", "numpy", "scikit-learn", "statsmodels")
"""What the weights and the data depend on."""

RECIPE = "recipe"
"""The one key of the weights' metadata, a JSON object. Several keys would be written in an order
that differs from run to run, and the same training would not give the same file."""


def runner(module: nn.Module, chosen: Scene) -> Run:
    """Make the function that answers named arrays with `module`, without gradients."""

    def run(batch: Arrays) -> Arrays:
        inputs = [torch.from_numpy(np.asarray(batch[name])) for name in chosen.input_names]
        with torch.inference_mode():
            outputs = module(*inputs)
        tensors: tuple[Tensor, ...] = (outputs,) if isinstance(outputs, Tensor) else outputs
        return {
            name: tensor.numpy() for name, tensor in zip(chosen.output_names, tensors, strict=True)
        }

    return run


def train(chosen: Scene, progress: Progress, *, steps: int | None = None) -> nn.Module:
    """Run the scene's recipe from its seed and return the trained network in eval mode.

    Args:
        chosen: the scene.
        progress: is told about every step.
        steps: fewer steps than the recipe's own, to try it out.
    """
    with reproducible(chosen.recipe.seed):
        module = chosen.build()
    chosen.recipe.fit(module, steps=steps or chosen.recipe.steps, progress=progress)
    return module


def _origin(chosen: Scene, value: float) -> dict[str, str | int | float]:
    """Say where weights come from."""
    return {
        "scene": chosen.name,
        "seed": chosen.recipe.seed,
        "steps": chosen.recipe.steps,
        "threads": THREADS,
        "metric": chosen.metric.name,
        "value": value,
        "torch": torch.__version__,
    }


def train_scene(name: str, progress: Progress) -> float:
    """Train a scene, judge it on its held-out split, and write its weights and its card.

    Returns:
        The metric on the held-out split.

    Raises:
        UnknownSceneError: there is no scene of this name.
    """
    chosen = scene(name)
    began = time.process_time()
    module = train(chosen, progress)
    cpu_seconds = time.process_time() - began
    test_set = chosen.test_set()
    run = runner(module, chosen)
    outputs = [run(batch) for batch in test_set.batches]
    value = chosen.metric.compute(outputs, test_set)
    weights = save(
        {key: tensor.contiguous() for key, tensor in module.state_dict().items()},
        metadata={RECIPE: json.dumps(_origin(chosen, value), sort_keys=True)},
    )
    chosen.weights.write_bytes(weights)
    write_card(
        chosen,
        Training(
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            cpu_seconds=cpu_seconds,
            versions={"python": platform.python_version()}
            | {package: version(package) for package in PACKAGES},
            outputs=tuple(outputs),
        ),
    )
    return value
