"""Write a model card (Mitchell et al. 2019, arXiv:1810.03993), and read its number back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.scene import Arrays, Scene, evaluate

METRIC_ROW = "| **held-out metric** |"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a training run left behind."""

    parameters: int
    cpu_seconds: float
    versions: Mapping[str, str]
    outputs: tuple[Arrays, ...]
    """The trained network's answers to the held-out split."""


def write_card(scene: Scene, training: Training) -> None:
    """Write the scene's card from its notes and its training run."""
    test_set = scene.test_set()
    metric = scene.metric
    better = "higher" if metric.higher_is_better else "lower"
    value = metric.format(metric.compute(training.outputs, test_set))
    rows = [
        f"{METRIC_ROW} {metric.name} | **{value}** | {better} is better |",
        *(
            f"| also | {other.name} | {other.format(other.compute(training.outputs, test_set))} | |"
            for other in scene.other_metrics
        ),
        *(
            f"| baseline | {metric.name} | {metric.format(evaluate(scene, run))} | {name} |"
            for name, run in scene.baselines.items()
        ),
    ]
    recipe = scene.recipe
    versions = ", ".join(f"{name} {number}" for name, number in training.versions.items())
    scene.card.write_text(
        f"""\
# {scene.name}: {scene.title}

| | |
|---|---|
| task | {scene.task} |
| normalization | {scene.normalization} |
| architecture | {scene.notes.architecture} |
| parameters | {training.parameters:,} |
| inputs | {", ".join(f"`{name}`" for name in scene.input_names)} |
| outputs | {", ".join(f"`{name}`" for name in scene.output_names)} |

## How good it is
On the held-out split, which no training step has seen ({test_set.items} items in
{len(test_set.batches)} requests):

| | metric | value | |
|---|---|---|---|
{chr(10).join(rows)}

## Data
{scene.notes.data}

**Split.** {scene.notes.split}

**Licence.** {scene.notes.licence}

## Training
`normserve train {scene.name}` makes the weights and this card anew, bit for bit on
the same processor with the same versions: seed {recipe.seed},
{recipe.steps} steps, {training.cpu_seconds:.0f} s of one CPU core.
With {versions}.

## Intended use
{scene.notes.use}
""",
        encoding="utf-8",
    )


def read_value(card: Path) -> str:
    """Read the held-out metric as it stands on a card, with its unit.

    Raises:
        ValueError: the file is no card that `write_card` wrote.
    """
    for line in card.read_text(encoding="utf-8").splitlines():
        if line.startswith(METRIC_ROW):
            return line.split("**")[3]
    raise ValueError(f"{card} has no row '{METRIC_ROW}'; write it anew with `normserve train`.")
