"""Handwritten digits: scikit-learn's copy of the UCI test set (Alpaydin & Kaynak 1998).

1,797 images of 8 by 8 pixels in the order in which 13 people wrote them. The last fifth is held
out, so that most of the hands in it are new.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from models.data.split import Split

HELD_OUT = 0.2
CLASSES = 10
SIDE = 8
BRIGHTEST = 16.0

SOURCE = (
    "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI 1998) as "
    "`sklearn.datasets.load_digits`: 1,797 images of 8 x 8 pixels."
)
SPLIT = (
    "The first 1,438 images for training, the last 359 held out "
    "(in the data's own order, which is by writer)."
)
LICENCE = "CC BY 4.0 (UCI Machine Learning Repository)."


@dataclass(frozen=True, slots=True)
class Digits:
    """Images of digits and what they show."""

    pixels: npt.NDArray[np.float32]
    """(items, 8, 8) in [0, 1]; 1 is ink."""
    labels: npt.NDArray[np.int64]
    """(items,) in 0 ... 9."""


@cache
def digits(split: Split) -> Digits:
    """Read one part of the digits."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra that naming a scene must not need

    bunch = load_digits()
    pixels = (bunch.images / BRIGHTEST).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    cut = round(len(labels) * (1 - HELD_OUT))
    part = slice(cut) if split is Split.TRAIN else slice(cut, None)
    return Digits(pixels[part], labels[part])
