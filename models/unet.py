"""Group normalization (Wu & He 2018, arXiv:1803.08494) where batches are small: a U-Net.

The architecture is by Ronneberger et al. 2015 (arXiv:1505.04597); it is trained on two pictures at
a time.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data import digits, photos
from models.data.batches import cut, numpy_generator
from models.data.canvases import BACKGROUND, Canvas, compose
from models.data.split import Split
from models.metrics import mean_iou
from models.recipe import Batch, Supervised
from models.scene import Arrays, Metric, Notes, Scene, TestSet

SIDE = 64
MOST = 8
"""The largest number of digits on a canvas."""
CLASSES = BACKGROUND + 1
WIDTHS = (8, 32, 48, 64)
GROUPS = 4
BATCH = 2
BACKGROUND_WEIGHT = 0.3
"""Most pixels are background."""
REQUEST_ITEMS = 10
TEST_SIZES = (((SIDE, SIDE), 60), ((48, 80), 40))
"""Held-out canvases: (height, width) and how many."""
TEST_SEED = 12


class DoubleConv(nn.Sequential):
    """Two convolutions, each with group normalization."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.GroupNorm(GROUPS, outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, outputs),
            nn.ReLU(),
        )


class UNet(nn.Module):
    """Down three times and up again, with the way around at each resolution; any size goes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = DoubleConv(3, WIDTHS[0])
        self.down = nn.ModuleList(
            DoubleConv(finer, coarser, stride=2) for finer, coarser in pairwise(WIDTHS)
        )
        self.up = nn.ModuleList(
            DoubleConv(coarser + finer, finer)
            for finer, coarser in reversed(list(pairwise(WIDTHS)))
        )
        self.head = nn.Conv2d(WIDTHS[0], CLASSES, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Say of each pixel which digit's stroke it belongs to.

        Args:
            pixels: (batch, 3, height, width) in [0, 1].

        Returns:
            Logits (batch, 11, height, width); class 10 is the background.
        """
        x = self.first(pixels)
        around = []
        for down in self.down:
            around.append(x)
            x = down(x)
        for up in self.up:
            finer = around.pop()
            x = up(torch.cat([F.interpolate(x, size=finer.shape[2:]), finer], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _compose(
    split: Split, count: int, size: tuple[int, int], rng: np.random.Generator
) -> list[Canvas]:
    height, width = size
    return [compose(split, height=height, width=width, most=MOST, rng=rng) for _ in range(count)]


def _draw(count: int, generator: torch.Generator) -> Batch:
    canvases = _compose(Split.TRAIN, count, (SIDE, SIDE), numpy_generator(generator))
    return (
        torch.from_numpy(np.stack([canvas.pixels for canvas in canvases])),
        torch.from_numpy(np.stack([canvas.strokes for canvas in canvases])),
    )


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    pixels, strokes = batch
    weight = torch.ones(CLASSES)
    weight[BACKGROUND] = BACKGROUND_WEIGHT
    return F.cross_entropy(model(pixels), strokes, weight=weight)


def _real(seed: int, items: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    canvases = _compose(Split.TRAIN, items, size, np.random.default_rng(seed))
    return (torch.from_numpy(np.stack([canvas.pixels for canvas in canvases])),)


@cache
def _test_set() -> TestSet:
    rng = np.random.default_rng(TEST_SEED)
    batches: list[Arrays] = []
    strokes = []
    for size, count in TEST_SIZES:
        canvases = _compose(Split.TEST, count, size, rng)
        batches += cut(REQUEST_ITEMS, pixels=np.stack([canvas.pixels for canvas in canvases]))
        strokes += [canvas.strokes.ravel() for canvas in canvases]
    return TestSet(tuple(batches), {"strokes": np.concatenate(strokes)})


def _iou(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    classes = np.concatenate([output["logits"].argmax(axis=1).ravel() for output in outputs])
    return mean_iou(classes, test_set.targets["strokes"], number=CLASSES)


def _all_background(batch: Arrays) -> Arrays:
    pixels = batch["pixels"]
    logits = np.zeros((len(pixels), CLASSES, *pixels.shape[2:]), dtype=np.float32)
    logits[:, BACKGROUND] = 1
    return {"logits": logits}


SCENE = Scene(
    name="unet",
    title="U-Net that segments strokes by digit",
    normalization="GroupNorm",
    task="semantic segmentation, ten digits and background",
    notes=Notes(
        data=f"Up to eight digits, 14 to 28 pixels large, composed on pieces of photographs with "
        f"noise. {digits.SOURCE} {photos.SOURCE}",
        split=f"Digits: {digits.SPLIT} Photographs: {photos.SPLIT} Held-out canvases show held-out "
        "digits on held-out pieces of photographs, in two sizes.",
        licence=f"Digits: {digits.LICENCE} Photographs: {photos.LICENCE}",
        use="Shows group normalization with a dynamic size. It was trained with batches of two, "
        "where batch normalization fails; not for pictures of the world.",
        architecture="U-Net with four resolutions, 8 to 64 channels, four groups",
    ),
    build=UNet,
    input_names=("pixels",),
    output_names=("logits",),
    example_inputs=lambda: _real(1, 3, (SIDE, SIDE)),
    reference_inputs=lambda: [
        _real(2, 1, (SIDE, SIDE)),
        _real(3, 2, (48, 80)),
        _real(4, 5, (45, 51)),
    ],
    dynamic_shapes={"pixels": {0: "batch", 2: "height", 3: "width"}},
    test_set=_test_set,
    metric=Metric(
        name="mean intersection over union", higher_is_better=True, digits=3, compute=_iou
    ),
    baselines={"background everywhere": _all_background},
    recipe=Supervised(
        seed=1, steps=7000, batch_size=BATCH, learning_rate=3e-3, draw=_draw, loss=_loss
    ),
)
