"""Next-character prediction: the data, the loss and the judgement of the two decoders."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.batches import cut, positions
from models.data.split import Split
from models.data.text import LICENCE, SOURCE, SPLIT, VOCABULARY, tokens
from models.metrics import accuracy, bits_per_token
from models.recipe import Batch
from models.scene import Array, Arrays, Metric, Notes, Run, TestSet

LENGTH = 96
"""The characters of a training sequence; at inference any length does."""
REQUEST_ITEMS = 16
SMOOTHING = 0.05
"""What is added to every count of the naive baselines."""


def draw(count: int, generator: torch.Generator) -> Batch:
    """Draw inputs and targets, both (count, 96), from the training text."""
    text = tokens(Split.TRAIN)
    starts = positions(count, len(text) - LENGTH, generator)
    pieces = torch.from_numpy(text[starts[:, None] + np.arange(LENGTH + 1)])
    return pieces[:, :-1], pieces[:, 1:]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The mean code length of the next characters, in nats."""
    inputs, targets = batch
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def real(*, start: int, items: int, length: int) -> tuple[Tensor, ...]:
    """Training text from character `start` on, as (items, length)."""
    piece = tokens(Split.TRAIN)[start : start + items * length]
    return (torch.from_numpy(piece.reshape(items, length)),)


@cache
def held_out() -> TestSet:
    """The whole held-out text; its rest is a last request of one shorter sequence."""
    text = tokens(Split.TEST)
    whole = (len(text) - 1) // LENGTH * LENGTH
    inputs = text[:whole].reshape(-1, LENGTH)
    batches = (*cut(REQUEST_ITEMS, tokens=inputs), {"tokens": text[None, whole:-1]})
    return TestSet(batches, {"next": text[1:]})


def _judge(
    function: Callable[[Array, Array], float],
) -> Callable[[Sequence[Arrays], TestSet], float]:
    def compute(outputs: Sequence[Arrays], test_set: TestSet) -> float:
        logits = np.concatenate([output["logits"].reshape(-1, VOCABULARY) for output in outputs])
        return function(logits, test_set.targets["next"])

    return compute


BITS = Metric(
    name="bits per character",
    higher_is_better=False,
    digits=3,
    compute=_judge(bits_per_token),
)
ACCURACY = Metric(
    name="accuracy of the next character",
    higher_is_better=True,
    digits=3,
    compute=_judge(accuracy),
)


@cache
def log_unigrams() -> npt.NDArray[np.float64]:
    """The smoothed log frequency of each character in the training text: (vocabulary,)."""
    counts = np.bincount(tokens(Split.TRAIN), minlength=VOCABULARY) + SMOOTHING
    return np.asarray(np.log(counts / counts.sum()))


@cache
def log_bigrams() -> npt.NDArray[np.float64]:
    """The smoothed log frequency of each character behind each: (vocabulary, vocabulary)."""
    text = tokens(Split.TRAIN)
    counts = np.full((VOCABULARY, VOCABULARY), SMOOTHING)
    np.add.at(counts, (text[:-1], text[1:]), 1)
    return np.asarray(np.log(counts / counts.sum(axis=1, keepdims=True)))


BASELINES: dict[str, Run] = {
    "frequency of the character": lambda batch: {
        "logits": np.broadcast_to(log_unigrams(), (*batch["tokens"].shape, VOCABULARY))
    },
    "frequency of the pair": lambda batch: {"logits": log_bigrams()[batch["tokens"]]},
}


def notes(architecture: str) -> Notes:
    """What the cards of both decoders say."""
    return Notes(
        data=SOURCE,
        split=SPLIT,
        licence=LICENCE,
        use="Shows a decoder with a dynamic length. It has read 40,000 characters; what it writes "
        "looks like documentation and means nothing.",
        architecture=architecture,
    )
