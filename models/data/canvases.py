"""Scenes composed of real parts: handwritten digits on pieces of photographs, with known truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.data.digits import CLASSES, digits
from models.data.photos import crop, photos
from models.data.split import Split

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

BACKGROUND = CLASSES
"""The class of a pixel that belongs to no stroke."""
INK = 0.5
"""A pixel with at least so much ink belongs to the stroke."""
SMALLEST, LARGEST = 14, 28
"""The sides of a digit on a canvas, in pixels."""
ATTEMPTS = 20
NOISE = 0.03


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture with digits on it."""

    pixels: Floats
    """(3, height, width) in [0, 1]."""
    boxes: Floats
    """(digits, 4): left, top, right, bottom in pixels; right and bottom are just outside."""
    labels: Integers
    """(digits,) in 0 ... 9."""
    strokes: Integers
    """(height, width): the class of each pixel, `BACKGROUND` where there is no stroke."""


def enlarge(image: Floats, side: int) -> Floats:
    """Scale a square image bilinearly to `side` pixels; pixel centres are at half integers."""
    centres = (np.arange(side) + 0.5) * len(image) / side - 0.5
    distances = np.abs(np.clip(centres, 0, len(image) - 1)[:, None] - np.arange(len(image)))
    weights = np.maximum(1 - distances, 0)
    return np.asarray(weights @ image @ weights.T, dtype=np.float32)


def compose(
    split: Split, *, height: int, width: int, most: int, rng: np.random.Generator
) -> Canvas:
    """Put one to `most` digits of one split on a piece of a photograph of the same split.

    Digits don't overlap; one that finds no place is left out.
    """
    source = digits(split)
    photo = photos(split)[rng.integers(2)]
    pixels = crop(photo, height=height, width=width, rng=rng) * rng.uniform(0.3, 0.7)
    strokes = np.full((height, width), BACKGROUND, dtype=np.int64)
    taken = np.zeros((height, width), dtype=bool)
    boxes, labels = [], []
    for _ in range(rng.integers(1, most + 1)):
        chosen = rng.integers(len(source.labels))
        side = int(rng.integers(SMALLEST, min(LARGEST, height, width) + 1))
        place = _find_place(taken, side, rng)
        if place is None:
            continue
        ink = enlarge(source.pixels[chosen], side)
        colour = rng.uniform(0.75, 1.0, size=(3, 1, 1))
        pixels[:, *place] += ink * (colour - pixels[:, *place])
        strokes[place][ink >= INK] = source.labels[chosen]
        taken[place] = True
        rows, columns = np.nonzero(ink >= INK)
        top, left = place[0].start, place[1].start
        boxes.append(
            (
                left + columns.min(),
                top + rows.min(),
                left + columns.max() + 1,
                top + rows.max() + 1,
            )
        )
        labels.append(source.labels[chosen])
    pixels = np.clip(pixels + rng.normal(0, NOISE, size=pixels.shape), 0, 1).astype(np.float32)
    return Canvas(
        pixels, np.array(boxes, dtype=np.float32), np.array(labels, dtype=np.int64), strokes
    )


def _find_place(
    taken: npt.NDArray[np.bool_], side: int, rng: np.random.Generator
) -> tuple[slice, slice] | None:
    for _ in range(ATTEMPTS):
        top = int(rng.integers(taken.shape[0] - side + 1))
        left = int(rng.integers(taken.shape[1] - side + 1))
        place = slice(top, top + side), slice(left, left + side)
        if not taken[place].any():
            return place
    return None
