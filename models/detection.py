"""From the maps of an anchor-free detector to boxes, and from boxes to average precision.

Arrays only. The maps are those of FCOS (Tian et al. 2019, arXiv:1904.01355): at each cell a logit
for each class, and the distances from the cell's centre to the four sides of a box.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.metrics import box_iou

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]

STRIDE = 4
"""The side of a cell in pixels."""
LEAST_SCORE = 0.05
SAME_OBJECT_IOU = 0.4
"""Of two boxes of a class that overlap more than this, the better one stays."""
FOUND_IOU = 0.5
"""A detection is right when it overlaps a box of its class at least so much."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found on one picture, best first."""

    boxes: Floats
    """(found, 4): left, top, right, bottom in pixels."""
    scores: Floats
    """(found,) in [0, 1]."""
    classes: Integers
    """(found,)."""


def centres(height: int, width: int) -> tuple[Floats, Floats]:
    """The x and the y of the cells' centres, each (height, width), in pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return STRIDE * (x + 0.5), STRIDE * (y + 0.5)


def decode(class_logits: Floats, distances: Floats) -> Detections:
    """Turn the maps of one picture into boxes without doubles.

    Args:
        class_logits: (classes, height, width) in cells.
        distances: (4, height, width), to left, top, right and bottom, in pixels.
    """
    scores = 1 / (1 + np.exp(-class_logits.astype(np.float64)))
    classes, rows, columns = np.nonzero(scores >= LEAST_SCORE)
    x, y = centres(*scores.shape[1:])
    left, top, right, bottom = distances
    corners = np.stack([x - left, y - top, x + right, y + bottom], axis=-1)[rows, columns]
    scores = scores[classes, rows, columns]
    kept: list[int] = []
    for position in np.argsort(-scores, kind="stable"):
        rivals = [other for other in kept if classes[other] == classes[position]]
        overlap = box_iou(corners[[position]], corners[rivals])
        if overlap.max(initial=0.0) <= SAME_OBJECT_IOU:
            kept.append(int(position))
    return Detections(corners[kept], scores[kept], classes[kept])


def average_precision(
    found: Sequence[Detections], boxes: Sequence[Floats], classes: Sequence[Integers]
) -> float:
    """The area under precision over recall at IoU 0.5, averaged over the classes that occur.

    Precision is made monotonous and the area taken exactly, as in PASCAL VOC since 2010.

    Args:
        found: the detections of each picture.
        boxes: the true boxes (objects, 4) of each picture.
        classes: their classes (objects,) of each picture.
    """
    present = np.unique(np.concatenate(list(classes)))
    return float(
        np.mean([_class_precision(found, boxes, classes, int(number)) for number in present])
    )


def _class_precision(
    found: Sequence[Detections], boxes: Sequence[Floats], classes: Sequence[Integers], number: int
) -> float:
    scores: list[float] = []
    right: list[bool] = []
    objects = 0
    for detections, truth, labels in zip(found, boxes, classes, strict=True):
        truth_here = truth[labels == number]
        objects += len(truth_here)
        free = np.ones(len(truth_here), dtype=bool)
        mine = detections.classes == number
        overlaps = box_iou(detections.boxes[mine], truth_here)
        for score, overlap in zip(detections.scores[mine], overlaps, strict=True):
            candidates = np.where(free, overlap, -1.0)
            hit = bool(candidates.max(initial=-1.0) >= FOUND_IOU)
            if hit:
                free[candidates.argmax()] = False
            scores.append(float(score))
            right.append(hit)
    ranked = np.array(right, dtype=bool)[np.argsort(-np.array(scores), kind="stable")]
    hits = np.cumsum(ranked)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[ranked].sum() / objects)
