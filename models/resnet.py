"""Batch normalization's home: a residual network (He et al. 2016, arXiv:1512.03385) for digits."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.batches import cut, positions
from models.data.digits import CLASSES, LICENCE, SOURCE, SPLIT, digits
from models.data.split import Split
from models.metrics import accuracy, gather
from models.recipe import Batch, Supervised
from models.scene import Arrays, Metric, Notes, Scene, TestSet

WIDTHS = (32, 64)
REQUEST_ITEMS = 60
LABEL_SMOOTHING = 0.1
ROTATION, SCALING, SHIFT = 0.2, 0.15, 0.15
"""How far training images are turned (radians), scaled, and moved (half widths)."""


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalization, and a way around them."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, one residual block at full and two at half resolution, mean, linear head."""

    def __init__(self) -> None:
        super().__init__()
        narrow, wide = WIDTHS
        self.stem = nn.Conv2d(1, narrow, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(narrow)
        self.blocks = nn.Sequential(
            ResidualBlock(narrow, narrow),
            ResidualBlock(narrow, wide, stride=2),
            ResidualBlock(wide, wide),
        )
        self.head = nn.Linear(wide, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify digits.

        Args:
            pixels: (batch, 1, 8, 8) in [0, 1]; 1 is ink.

        Returns:
            Logits (batch, 10).
        """
        x = self.blocks(F.relu(self.norm(self.stem(pixels))))
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def distort(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale and move each image of (batch, 1, height, width) a little, at random."""
    batch = len(pixels)
    angle, scale_x, scale_y, shift_x, shift_y = torch.rand(5, batch, generator=generator) * 2 - 1
    angle = angle * ROTATION
    scale_x, scale_y = 1 + scale_x * SCALING, 1 + scale_y * SCALING
    rows = (
        torch.stack([angle.cos() * scale_x, -angle.sin() * scale_x, shift_x * SHIFT], dim=1),
        torch.stack([angle.sin() * scale_y, angle.cos() * scale_y, shift_y * SHIFT], dim=1),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)


def _draw(count: int, generator: torch.Generator) -> Batch:
    source = digits(Split.TRAIN)
    chosen = positions(count, len(source.labels), generator)
    pixels = torch.from_numpy(source.pixels[chosen, None])
    return distort(pixels, generator), torch.from_numpy(source.labels[chosen])


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    pixels, labels = batch
    return F.cross_entropy(model(pixels), labels, label_smoothing=LABEL_SMOOTHING)


def _real(start: int, count: int) -> tuple[Tensor, ...]:
    return (torch.from_numpy(digits(Split.TRAIN).pixels[start : start + count, None]),)


@cache
def _test_set() -> TestSet:
    source = digits(Split.TEST)
    return TestSet(cut(REQUEST_ITEMS, pixels=source.pixels[:, None]), {"labels": source.labels})


def _nearest_class_mean(batch: Arrays) -> Arrays:
    source = digits(Split.TRAIN)
    means = np.stack(
        [source.pixels[source.labels == digit].mean(axis=0) for digit in range(CLASSES)]
    )
    distances = np.square(batch["pixels"] - means[None]).sum(axis=(2, 3))
    return {"logits": -distances}


SCENE = Scene(
    name="resnet",
    title="residual network that reads digits",
    normalization="BatchNorm",
    task="digit classification",
    notes=Notes(
        data=SOURCE,
        split=SPLIT,
        licence=LICENCE,
        use="Shows how batch normalization behind convolutions is folded away. Reads single digits "
        "of 8 x 8 pixels that look like the data's; not for documents.",
        architecture="ResNet with three residual blocks, 32 and 64 channels, BatchNorm2d",
    ),
    build=ResNet,
    input_names=("pixels",),
    output_names=("logits",),
    example_inputs=lambda: _real(0, 3),
    reference_inputs=lambda: [_real(3, 1), _real(4, 2), _real(6, 16), _real(22, 128)],
    dynamic_shapes={"pixels": {0: "batch"}},
    test_set=_test_set,
    metric=Metric(
        name="accuracy",
        higher_is_better=True,
        digits=4,
        compute=lambda outputs, test_set: accuracy(
            gather(outputs, "logits"), test_set.targets["labels"]
        ),
    ),
    baselines={"nearest class mean": _nearest_class_mean},
    recipe=Supervised(seed=1, steps=900, batch_size=64, learning_rate=4e-3, draw=_draw, loss=_loss),
)
