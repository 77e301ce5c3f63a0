"""Two photographs: scikit-learn's `china.jpg` (a temple) and `flower.jpg` (a dahlia)."""

from functools import cache

import numpy as np
import numpy.typing as npt

from models.data.split import Split

HELD_OUT = 0.25
BRIGHTEST = np.float32(255)

SOURCE = "The sample photographs `china.jpg` and `flower.jpg` of scikit-learn, 640 x 427 pixels."
SPLIT = "The left three quarters of each photograph for training, the right quarter held out."
LICENCE = "CC BY 2.0 (danielbuechele and vultilion, flickr)."


@cache
def photos(split: Split) -> tuple[npt.NDArray[np.float32], ...]:
    """Read one part of each photograph: (3, height, width) in [0, 1]; china first."""
    from sklearn.datasets import load_sample_images  # noqa: PLC0415 - an extra that naming a scene must not need

    parts = []
    for image in load_sample_images().images:
        cut = round(image.shape[1] * (1 - HELD_OUT))
        part = image[:, :cut] if split is Split.TRAIN else image[:, cut:]
        channels_first = part.transpose(2, 0, 1)
        parts.append(np.ascontiguousarray(channels_first, dtype=np.float32) / BRIGHTEST)
    return tuple(parts)


def crop(
    photo: npt.NDArray[np.float32], *, height: int, width: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Cut a random piece of (3, height, width) out of a photograph."""
    top = rng.integers(photo.shape[1] - height + 1)
    left = rng.integers(photo.shape[2] - width + 1)
    return photo[:, top : top + height, left : left + width]
