"""Batch normalization in an anchor-free detector, after FCOS (Tian et al. 2019)."""

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
from models.detection import STRIDE, average_precision, centres, decode
from models.metrics import IGNORED
from models.recipe import Batch, Supervised
from models.resnet import ResidualBlock
from models.scene import Arrays, Metric, Notes, Scene, TestSet

SIDE = 64
MOST = 5
"""The largest number of digits on a canvas."""
WIDTHS = (16, 48)
PRIOR = 0.02
"""What the class scores begin at (Lin et al. 2017, arXiv:1708.02002, section 4.1)."""
FOCUS = 2.0
"""The focal loss's exponent (the same paper, section 3.2)."""
FIRST_DISTANCE = 2.0
"""What the distances begin at, about, in strides."""
RADIUS = 1.0
"""Cells within so many strides of a box's centre have to find it."""
REQUEST_ITEMS = 10
TEST_SIZES = (((SIDE, SIDE), 120), ((48, 80), 40))
"""Held-out canvases: (height, width) and how many."""
TEST_SEED = 11


class Detector(nn.Module):
    """A residual trunk with a stride of 4 and two heads, one for classes and one for boxes."""

    def __init__(self) -> None:
        super().__init__()
        narrow, wide = WIDTHS
        self.trunk = nn.Sequential(
            nn.Conv2d(3, narrow, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            ResidualBlock(narrow, wide, stride=2),
            ResidualBlock(wide, wide),
            nn.Conv2d(wide, wide, 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        )
        self.class_head = self._head(CLASSES, bias=float(np.log(PRIOR / (1 - PRIOR))))
        self.box_head = self._head(4, bias=FIRST_DISTANCE)

    @staticmethod
    def _head(outputs: int, *, bias: float) -> nn.Sequential:
        wide = WIDTHS[-1]
        last = nn.Conv2d(wide, outputs, 1)
        nn.init.constant_(last.get_parameter("bias"), bias)
        return nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(), last
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Look for digits.

        Args:
            pixels: (batch, 3, height, width) in [0, 1].

        Returns:
            Class logits (batch, 10, rows, columns), and the distances (batch, 4, rows, columns) in
            pixels from each cell's centre to the left, top, right and bottom of a box; a cell is
            4 pixels wide.
        """
        x = self.trunk(pixels)
        return self.class_head(x), STRIDE * F.softplus(self.box_head(x))


def _assign(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Say which cell has to find what: classes (rows, columns), distances (4, rows, columns)."""
    height, width = canvas.strokes.shape
    x, y = centres(height // STRIDE, width // STRIDE)
    classes = np.full(x.shape, BACKGROUND)
    distances = np.zeros((4, *x.shape), dtype=np.float32)
    for box, label in zip(canvas.boxes, canvas.labels, strict=True):
        to_sides = np.stack([x - box[0], y - box[1], box[2] - x, box[3] - y])
        off_centre = np.maximum(
            np.abs(to_sides[0] - to_sides[2]), np.abs(to_sides[1] - to_sides[3])
        )
        chosen = (off_centre / 2 <= RADIUS * STRIDE) & (to_sides.min(axis=0) > 0)
        classes[chosen] = label
        distances[:, chosen] = to_sides[:, chosen]
    return torch.from_numpy(classes), torch.from_numpy(distances)


def _draw(count: int, generator: torch.Generator) -> Batch:
    rng = numpy_generator(generator)
    canvases = [
        compose(Split.TRAIN, height=SIDE, width=SIDE, most=MOST, rng=rng) for _ in range(count)
    ]
    classes, distances = zip(*map(_assign, canvases), strict=True)
    pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in canvases]))
    return pixels, torch.stack(classes), torch.stack(distances)


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    """Focal loss for the classes, -log IoU for the boxes (Yu et al. 2016), for each right cell."""
    pixels, classes, distances = batch
    logits, predicted = model(pixels)
    truth = F.one_hot(classes, CLASSES + 1)[..., :CLASSES].movedim(-1, 1).to(logits.dtype)
    surprise = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    focal = (1 - torch.exp(-surprise)) ** FOCUS * surprise
    here = classes != BACKGROUND
    mine, right = predicted.movedim(1, -1)[here], distances.movedim(1, -1)[here]
    low = torch.minimum(mine, right)
    common = (low[:, 0] + low[:, 2]) * (low[:, 1] + low[:, 3])
    areas = [(d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (mine, right)]
    overlap = common / (areas[0] + areas[1] - common)
    cells = here.sum().clamp(min=1)
    return (focal.sum() - torch.log(overlap).sum()) / cells


def _real(seed: int, items: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    rng = np.random.default_rng(seed)
    height, width = size
    canvases = [
        compose(Split.TRAIN, height=height, width=width, most=MOST, rng=rng) for _ in range(items)
    ]
    return (torch.from_numpy(np.stack([canvas.pixels for canvas in canvases])),)


@cache
def _test_set() -> TestSet:
    rng = np.random.default_rng(TEST_SEED)
    batches: list[Arrays] = []
    canvases: list[Canvas] = []
    for (height, width), count in TEST_SIZES:
        new = [
            compose(Split.TEST, height=height, width=width, most=MOST, rng=rng)
            for _ in range(count)
        ]
        batches += cut(REQUEST_ITEMS, pixels=np.stack([canvas.pixels for canvas in new]))
        canvases += new
    boxes = np.zeros((len(canvases), MOST, 4), dtype=np.float32)
    labels = np.full((len(canvases), MOST), IGNORED)
    for item, canvas in enumerate(canvases):
        boxes[item, : len(canvas.boxes)] = canvas.boxes
        labels[item, : len(canvas.labels)] = canvas.labels
    return TestSet(tuple(batches), {"boxes": boxes, "labels": labels})


def _precision(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    found = [
        decode(logits, distances)
        for output in outputs
        for logits, distances in zip(output["class_logits"], output["distances"], strict=True)
    ]
    there = test_set.targets["labels"] != IGNORED
    boxes = [item[here] for item, here in zip(test_set.targets["boxes"], there, strict=True)]
    labels = [item[here] for item, here in zip(test_set.targets["labels"], there, strict=True)]
    return average_precision(found, boxes, labels)


SCENE = Scene(
    name="detector",
    title="anchor-free detector that finds digits in pictures",
    normalization="BatchNorm",
    task="object detection, ten classes",
    notes=Notes(
        data=f"Up to five digits, 14 to 28 pixels large, composed on pieces of photographs with "
        f"noise. {digits.SOURCE} {photos.SOURCE}",
        split=f"Digits: {digits.SPLIT} Photographs: {photos.SPLIT} Held-out canvases show held-out "
        "digits on held-out pieces of photographs, in two sizes.",
        licence=f"Digits: {digits.LICENCE} Photographs: {photos.LICENCE}",
        use="Shows batch normalization in a network with several heads and a dynamic size. Finds "
        "the digits of its data on darkened photographs; not for pictures of the world.",
        architecture="FCOS-like, one level with a stride of 4, residual trunk of 48 channels",
    ),
    build=Detector,
    input_names=("pixels",),
    output_names=("class_logits", "distances"),
    example_inputs=lambda: _real(1, 3, (SIDE, SIDE)),
    reference_inputs=lambda: [
        _real(2, 1, (SIDE, SIDE)),
        _real(3, 2, (48, 80)),
        _real(4, 5, (61, 70)),
        _real(9, 64, (SIDE, SIDE)),
    ],
    dynamic_shapes={"pixels": {0: "batch", 2: "height", 3: "width"}},
    test_set=_test_set,
    metric=Metric(
        name="mean average precision at IoU 0.5",
        higher_is_better=True,
        digits=3,
        compute=_precision,
    ),
    recipe=Supervised(seed=1, steps=1500, batch_size=8, learning_rate=4e-3, draw=_draw, loss=_loss),
)
