"""Switchable normalization in a residual network with two heads (Luo et al. 2018)."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data import digits, photos
from models.data.batches import cut, numpy_generator
from models.data.canvases import BACKGROUND, Canvas, compose
from models.data.digits import CLASSES
from models.data.split import Split
from models.metrics import accuracy, gather, mean_iou
from models.norms import SwitchableNorm2d
from models.recipe import Batch, Supervised
from models.scene import Arrays, Metric, Notes, Scene, TestSet

SIDE = 32
WIDTHS = (16, 32, 64)
LATERAL = 24
"""The channels in which the three resolutions meet."""
REQUEST_ITEMS = 20
TEST_ITEMS = 300
TEST_SEED = 13


class Block(nn.Module):
    """Two convolutions with switchable normalization, and a way around them."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = SwitchableNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = SwitchableNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class SwitchableResNet(nn.Module):
    """Three residual blocks; a class from the coarsest map, the strokes from all three."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.stem = nn.Conv2d(3, fine, 3, padding=1, bias=False)
        self.norm = SwitchableNorm2d(fine)
        self.fine = Block(fine, fine, stride=1)
        self.middle = Block(fine, middle, stride=2)
        self.coarse = Block(middle, coarse, stride=2)
        self.class_head = nn.Linear(coarse, CLASSES)
        self.laterals = nn.ModuleList(nn.Conv2d(width, LATERAL, 1) for width in WIDTHS)
        self.lateral_norm = SwitchableNorm2d(LATERAL)
        self.stroke_head = nn.Conv2d(LATERAL, 1, 3, padding=1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Read the digit and find its strokes.

        Args:
            pixels: (batch, 3, height, width) in [0, 1].

        Returns:
            Class logits (batch, 10), and stroke logits (batch, height, width).
        """
        fine = self.fine(F.relu(self.norm(self.stem(pixels))))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        class_logits = self.class_head(coarse.mean(dim=(2, 3)))
        size = fine.shape[2:]
        merged = self.laterals[0](fine)
        merged = merged + F.interpolate(self.laterals[1](middle), size=size)
        merged = merged + F.interpolate(self.laterals[2](coarse), size=size)
        stroke_logits = self.stroke_head(F.relu(self.lateral_norm(merged)))
        return class_logits, stroke_logits[:, 0]


def _compose(split: Split, count: int, rng: np.random.Generator, side: int = SIDE) -> list[Canvas]:
    return [compose(split, height=side, width=side, most=1, rng=rng) for _ in range(count)]


def _draw(count: int, generator: torch.Generator) -> Batch:
    canvases = _compose(Split.TRAIN, count, numpy_generator(generator))
    return (
        torch.from_numpy(np.stack([canvas.pixels for canvas in canvases])),
        torch.from_numpy(np.stack([canvas.labels[0] for canvas in canvases])),
        torch.from_numpy(np.stack([canvas.strokes != BACKGROUND for canvas in canvases])),
    )


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    pixels, labels, strokes = batch
    class_logits, stroke_logits = model(pixels)
    return F.cross_entropy(class_logits, labels) + F.binary_cross_entropy_with_logits(
        stroke_logits, strokes.to(stroke_logits.dtype)
    )


def _real(seed: int, items: int, side: int = SIDE) -> tuple[Tensor, ...]:
    canvases = _compose(Split.TRAIN, items, np.random.default_rng(seed), side)
    return (torch.from_numpy(np.stack([canvas.pixels for canvas in canvases])),)


@cache
def _test_set() -> TestSet:
    canvases = _compose(Split.TEST, TEST_ITEMS, np.random.default_rng(TEST_SEED))
    pixels = np.stack([canvas.pixels for canvas in canvases])
    return TestSet(
        cut(REQUEST_ITEMS, pixels=pixels),
        {
            "labels": np.stack([canvas.labels[0] for canvas in canvases]),
            "strokes": np.stack([canvas.strokes != BACKGROUND for canvas in canvases]),
        },
    )


def _accuracy(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    return accuracy(gather(outputs, "class_logits"), test_set.targets["labels"])


def _iou(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    strokes = gather(outputs, "stroke_logits") > 0
    return mean_iou(
        strokes.astype(np.int64), test_set.targets["strokes"].astype(np.int64), number=2
    )


def _both(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    return (_accuracy(outputs, test_set) + _iou(outputs, test_set)) / 2


def _nothing(batch: Arrays) -> Arrays:
    pixels = batch["pixels"]
    return {
        "class_logits": np.zeros((len(pixels), CLASSES)),
        "stroke_logits": np.full((len(pixels), *pixels.shape[2:]), -1.0),
    }


SCENE = Scene(
    name="switchable_resnet",
    title="residual network that reads a digit and finds its strokes",
    normalization="SwitchableNorm",
    task="classification and segmentation at once",
    notes=Notes(
        data=f"One digit, 14 to 28 pixels large, composed on a piece of a photograph with noise. "
        f"{digits.SOURCE} {photos.SOURCE}",
        split=f"Digits: {digits.SPLIT} Photographs: {photos.SPLIT} Held-out canvases show held-out "
        "digits on held-out pieces of photographs.",
        licence=f"Digits: {digits.LICENCE} Photographs: {photos.LICENCE}",
        use="Shows switchable normalization, which mixes the statistics of three kinds by learned "
        "weights, in a network with two tasks; not for pictures of the world.",
        architecture="ResNet with three residual blocks, 16, 32 and 64 channels, two heads",
    ),
    build=SwitchableResNet,
    input_names=("pixels",),
    output_names=("class_logits", "stroke_logits"),
    example_inputs=lambda: _real(1, 3),
    reference_inputs=lambda: [_real(2, 1), _real(3, 2, side=40), _real(4, 8), _real(12, 64)],
    dynamic_shapes={"pixels": {0: "batch", 2: "height", 3: "width"}},
    test_set=_test_set,
    metric=Metric(
        name="mean of digit accuracy and stroke IoU",
        higher_is_better=True,
        digits=3,
        compute=_both,
    ),
    other_metrics=(
        Metric(name="digit accuracy", higher_is_better=True, digits=3, compute=_accuracy),
        Metric(name="IoU of strokes and background", higher_is_better=True, digits=3, compute=_iou),
    ),
    baselines={"always zero, no stroke": _nothing},
    recipe=Supervised(
        seed=1, steps=1500, batch_size=16, learning_rate=4e-3, draw=_draw, loss=_loss
    ),
)
