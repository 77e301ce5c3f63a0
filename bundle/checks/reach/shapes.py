"""Operators that make tensors of shapes and of numbers: where sizes and positions become data."""

from collections.abc import Mapping

import numpy as np

from bundle.checks.reach.bits import (
    MARKS,
    POSITION,
    RANDOM,
    SIZE,
    STEP,
    Bits,
    anything,
    nothing,
)
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]

_OF_CONTENT = ("Bernoulli", "Multinomial")


def _shape(step: Step) -> list[Bits]:
    reach = step.reach(0)
    rank = step.rank(0)
    picked = range(rank)[step.attribute("start", 0) : step.attribute("end", rank)]
    sizes = [SIZE if axis in reach.sized else np.uint32(0) for axis in picked]
    return [np.array(sizes, np.uint32) | reach.shaped]


def _size(step: Step) -> list[Bits]:
    reach = step.reach(0)
    return [np.array(reach.shaped | (SIZE if reach.sized else np.uint32(0)), np.uint32)]


def _fill(step: Step) -> list[Bits]:
    """Constant, ConstantOfShape: the same whatever the batch; windows, filter banks."""
    return [nothing(len(step.out()))]


def _range(step: Step) -> list[Bits]:
    """Range: along the batch, a counter of positions."""
    start, limit, delta = (anything(step.bits(i)) for i in range(3))
    bits = start | delta
    if limit & MARKS or step.sized[0]:
        bits |= POSITION | (limit & STEP)
    return [np.full(1, bits, np.uint32)]


def _eye(step: Step) -> list[Bits]:
    """EyeLike: the shape is the input's."""
    rank = step.rank(0)
    return [nothing(rank) | POSITION if step.reach(0).sized else nothing(rank)]


def _random(step: Step) -> list[Bits]:
    """Random*, Bernoulli, Multinomial."""
    content = step.everything() if step.node.op_type in _OF_CONTENT else np.uint32(0)
    return [np.full((1,) * len(step.out()), content | RANDOM, np.uint32)]


RULES: Mapping[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "Range": _range,
    "EyeLike": _eye,
    **dict.fromkeys(
        ("Constant", "ConstantOfShape", "BlackmanWindow", "HammingWindow", "HannWindow"), _fill
    ),
    **dict.fromkeys(
        (
            *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
            *_OF_CONTENT,
        ),
        _random,
    ),
}
"""By operator."""
