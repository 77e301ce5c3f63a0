"""Layer normalization in an encoder: a small BERT (Devlin et al. 2019, arXiv:1810.04805).

Its positions are rotary (RoFormer, Su et al. 2021), which so little text teaches sooner.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.batches import cut, positions
from models.data.split import Split
from models.data.text import LICENCE, MASK, SOURCE, SPLIT, VOCABULARY, tokens
from models.metrics import IGNORED, accuracy, gather
from models.next_character import LENGTH, log_bigrams, log_unigrams
from models.recipe import Batch, Supervised
from models.scene import Arrays, Metric, Notes, Scene, TestSet
from models.transformer import Angles, Rotate, SelfAttention, rotation

FEATURES, HEADS, LAYERS, DROPOUT = 64, 4, 4, 0.1
WIDENING = 4
MASKED = 0.15
"""The part of the characters that is asked for."""
REQUEST_ITEMS = 16
TEST_SEED = 5


class Block(nn.Module):
    """Attention and a small network, a layer normalization behind each sum ("post-LN")."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SelfAttention(FEATURES, HEADS, causal=False, bias=True, dropout=DROPOUT)
        self.attention_norm = nn.LayerNorm(FEATURES)
        self.network = nn.Sequential(
            nn.Linear(FEATURES, WIDENING * FEATURES),
            nn.GELU(),
            nn.Linear(WIDENING * FEATURES, FEATURES),
            nn.Dropout(DROPOUT),
        )
        self.network_norm = nn.LayerNorm(FEATURES)

    def forward(self, x: Tensor, mask: Tensor, rotate: Rotate) -> Tensor:
        """(batch, length, features) to the same; mask: (batch, 1, length, length) bool."""
        x = self.attention_norm(x + self.attention(x, mask=mask, rotate=rotate))
        y: Tensor = self.network_norm(x + self.network(x))
        return y


class BERT(nn.Module):
    """Embedding with layer normalization, four blocks, and a head tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.angles = Angles(FEATURES // HEADS)
        self.embedding_norm = nn.LayerNorm(FEATURES)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.transform = nn.Sequential(
            nn.Linear(FEATURES, FEATURES), nn.GELU(), nn.LayerNorm(FEATURES)
        )
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))
        nn.init.normal_(self.embedding.weight, std=FEATURES**-0.5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Predict the character at each position.

        Args:
            input_ids: (batch, length) int64 in 0 ... 96; 96 stands for a masked character.
            attention_mask: (batch, length) int64, 1 for characters and 0 for padding; each row
                has at least one character.

        Returns:
            Logits (batch, length, 97).
        """
        length = input_ids.shape[1]
        rotate = rotation(self.angles(length))
        mask = (attention_mask != 0)[:, None, None].expand(-1, -1, length, -1)
        x = self.embedding_norm(self.embedding(input_ids))
        for block in self.blocks:
            x = block(x, mask, rotate)
        return F.linear(self.transform(x), self.embedding.weight, self.bias)


def _draw(count: int, generator: torch.Generator) -> Batch:
    """Draw texts, of which 80% of the asked characters are masked and 10% are wrong."""
    text = tokens(Split.TRAIN)
    starts = positions(count, len(text) - LENGTH, generator)
    truth = torch.from_numpy(text[starts[:, None] + np.arange(LENGTH)])
    asked = torch.rand(truth.shape, generator=generator) < MASKED
    kind = torch.rand(truth.shape, generator=generator)
    wrong = torch.randint(MASK, truth.shape, generator=generator)
    inputs = torch.where(asked & (kind < 0.8), MASK, truth)
    inputs = torch.where(asked & (kind >= 0.9), wrong, inputs)
    return inputs, torch.ones_like(inputs), torch.where(asked, truth, IGNORED)


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    input_ids, attention_mask, labels = batch
    logits = model(input_ids, attention_mask)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def _real(start: int, items: int, length: int) -> tuple[Tensor, ...]:
    """Training text with a masked character in seven; each row a character shorter than before."""
    piece = tokens(Split.TRAIN)[start : start + items * length].reshape(items, length).copy()
    piece[:, ::7] = MASK
    attention_mask = np.arange(length) < length - np.arange(items)[:, None]
    return torch.from_numpy(piece), torch.from_numpy(attention_mask.astype(np.int64))


@cache
def _test_set() -> TestSet:
    text = tokens(Split.TEST)
    rows = -(-len(text) // LENGTH)
    truth = np.full((rows, LENGTH), IGNORED)
    truth.flat[: len(text)] = text
    present = truth != IGNORED
    asked = (np.random.default_rng(TEST_SEED).random(truth.shape) < MASKED) & present
    input_ids = np.where(asked, MASK, np.where(present, truth, 0))
    return TestSet(
        cut(REQUEST_ITEMS, input_ids=input_ids, attention_mask=present.astype(np.int64)),
        {"labels": np.where(asked, truth, IGNORED)},
    )


def _accuracy(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    return accuracy(gather(outputs, "logits"), test_set.targets["labels"])


def _most_frequent(batch: Arrays) -> Arrays:
    shape = (*batch["input_ids"].shape, VOCABULARY)
    return {"logits": np.broadcast_to(log_unigrams(), shape)}


def _from_both_neighbours(batch: Arrays) -> Arrays:
    """Multiply what the left and the right neighbour say; a masked neighbour says nothing."""
    pairs = log_bigrams() - log_unigrams()
    pairs[MASK], pairs[:, MASK] = 0, 0
    logits = np.tile(log_unigrams(), (*batch["input_ids"].shape, 1))
    logits[:, 1:] += pairs[batch["input_ids"][:, :-1]]
    logits[:, :-1] += pairs.T[batch["input_ids"][:, 1:]]
    return {"logits": logits}


SCENE = Scene(
    name="bert",
    title="encoder that fills gaps in text",
    normalization="LayerNorm",
    task="masked-character prediction",
    notes=Notes(
        data=SOURCE,
        split=SPLIT,
        licence=LICENCE,
        use="Shows an encoder with two inputs, padding and a dynamic length. It knows the words "
        "of 40,000 characters of documentation.",
        architecture="BERT with four post-LN blocks, 64 features, 4 heads, rotary positions "
        "(RoFormer, Su et al. 2021)",
    ),
    build=BERT,
    input_names=("input_ids", "attention_mask"),
    output_names=("logits",),
    example_inputs=lambda: _real(0, 3, 40),
    reference_inputs=lambda: [_real(1000, 1, 17), _real(2000, 2, 96), _real(3000, 8, 64)],
    dynamic_shapes={
        "input_ids": {0: "batch", 1: "length"},
        "attention_mask": {0: "batch", 1: "length"},
    },
    test_set=_test_set,
    metric=Metric(
        name="accuracy of the masked characters",
        higher_is_better=True,
        digits=3,
        compute=_accuracy,
    ),
    baselines={
        "most frequent character": _most_frequent,
        "frequency of the pairs with both neighbours": _from_both_neighbours,
    },
    recipe=Supervised(
        seed=1,
        steps=1100,
        batch_size=32,
        learning_rate=3e-3,
        weight_decay=0.05,
        draw=_draw,
        loss=_loss,
    ),
)
