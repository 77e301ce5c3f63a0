"""What a scene is: a small network, the real data it learned from, and how it is judged.

A scene knows its tensors by name, so that the same test split can be sent through PyTorch, through
ONNX Runtime or over HTTP, and the same metric computed. It knows nothing of exporting or serving.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
from safetensors.torch import load_file
from torch import Tensor, nn

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
"""Named arrays: the inputs of one request or the outputs of one answer; axis 0 is the batch."""

Run = Callable[[Arrays], Arrays]
"""Whatever answers: a PyTorch module, a runtime session, a client of a server."""

HOME = Path(__file__).parent


class Progress(Protocol):
    """Somebody who wants to see how far a training run is."""

    def update(self, done: int, total: int, message: str) -> None:
        """Be told that `done` of `total` steps are done; `message` is short and for a person."""


class Recipe(Protocol):
    """How a network is trained: a pure function of its seed, its steps and the training split."""

    @property
    def seed(self) -> int:
        """The seed of the initial weights and of everything that is drawn."""

    @property
    def steps(self) -> int:
        """The number of optimizer steps of a full run."""

    def fit(self, model: nn.Module, *, steps: int, progress: Progress) -> tuple[float, ...]:
        """Train `model` in place and return the loss of every step."""


@dataclass(frozen=True, slots=True)
class TestSet:
    """The held-out split: requests that can be sent as they are, and the truth about them."""

    __test__ = False  # the name is the domain's; pytest must not collect it

    batches: tuple[Arrays, ...]
    """Inputs by name; every batch is one request."""
    targets: Arrays
    """The truth by name; axis 0 runs over the items of all batches in their order."""

    @property
    def items(self) -> int:
        """The number of items in all batches."""
        return sum(len(next(iter(batch.values()))) for batch in self.batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that says how good the answers are, from arrays alone."""

    name: str
    higher_is_better: bool
    digits: int
    """How many digits after the point mean something."""
    compute: Callable[[Sequence[Arrays], TestSet], float]
    """From the answers, one mapping a batch, and the test set."""
    unit: str = ""

    def format(self, value: float) -> str:
        """Write the value with the digits that mean something, and its unit."""
        return f"{value:.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a model card says in words."""

    data: str
    split: str
    licence: str
    use: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A network that one of the normalizations is known for, trained on real data."""

    name: str
    title: str
    normalization: str
    task: str
    notes: Notes
    build: Callable[[], nn.Module]
    """A fresh network with random weights, in train mode."""
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    example_inputs: Callable[[], tuple[Tensor, ...]]
    """Three real items of the training split, in the order of `input_names`."""
    reference_inputs: Callable[[], list[tuple[Tensor, ...]]]
    """Real batches of the training split in several batch sizes and shapes."""
    dynamic_shapes: Mapping[str, Mapping[int, str]]
    """For each input, its axes of free size and their names."""
    test_set: Callable[[], TestSet]
    metric: Metric
    other_metrics: tuple[Metric, ...] = ()
    """Further numbers for the card."""
    baselines: Mapping[str, Run] = field(default_factory=dict)
    """What a naive answer would be, judged by the same metric."""
    recipe: Recipe

    @property
    def weights(self) -> Path:
        """The committed weights (safetensors)."""
        return HOME / "weights" / f"{self.name}.safetensors"

    @property
    def card(self) -> Path:
        """The committed model card (Markdown)."""
        return HOME / "cards" / f"{self.name}.md"

    def load(self) -> nn.Module:
        """Build the network with the committed weights, in eval mode.

        Raises:
            FileNotFoundError: the weights are not there; `train_scene` makes them.
            RuntimeError: the weights are those of another network.
        """
        module = self.build()
        module.load_state_dict(load_file(self.weights), strict=True)
        return module.eval()


def evaluate(scene: Scene, run: Run) -> float:
    """Send the scene's held-out split through `run` and compute its metric."""
    test_set = scene.test_set()
    return scene.metric.compute([run(batch) for batch in test_set.batches], test_set)
