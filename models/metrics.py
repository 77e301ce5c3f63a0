"""Judge answers by arrays alone: numpy in, a number out, for any way the answers came."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.scene import Array, Arrays

IGNORED = -1
"""A target that is not judged."""


def gather(outputs: Sequence[Arrays], name: str) -> Array:
    """Put one output of all batches together along the batch axis."""
    return np.concatenate([output[name] for output in outputs])


def accuracy(logits: Array, labels: Array) -> float:
    """The part of the labels whose logit (on the last axis) is the largest."""
    judged = labels != IGNORED
    return float((logits.argmax(axis=-1) == labels)[judged].mean())


def bits_per_token(logits: Array, labels: Array) -> float:
    """The mean code length of the labels under the softmax of the logits, in bits."""
    judged = labels != IGNORED
    wide = logits[judged].astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    log_total = np.log(np.exp(wide).sum(axis=-1))
    chosen = np.take_along_axis(wide, labels[judged][:, None], axis=-1)[:, 0]
    return float((log_total - chosen).mean() / np.log(2))


def mean_absolute_error(values: Array, truth: Array) -> float:
    """The mean distance, in the unit of the values."""
    return float(np.abs(values.astype(np.float64) - truth).mean())


def mean_iou(classes: Array, truth: Array, *, number: int) -> float:
    """The intersection over union of each class, averaged over the classes that occur."""
    pairs = np.bincount((truth * number + classes).ravel(), minlength=number**2)
    confusion = pairs.reshape(number, number)
    both = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    occurs = either > 0
    return float((both[occurs] / either[occurs]).mean())


def box_iou(boxes: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> Array:
    """The intersection over union of boxes (a, 4) with others (b, 4): (a, b)."""
    low = np.maximum(boxes[:, None, :2], other[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], other[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(part[:, 2:] - part[:, :2], axis=-1) for part in (boxes, other)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common))
