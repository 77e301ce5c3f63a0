"""Operators whose every element comes from the elements at the same place, after broadcasting."""

from collections.abc import Mapping
from functools import reduce

import numpy as np

from bundle.checks.reach.bits import MARKS, NOTHING, RANDOM, STEP, Bits, anything, nothing
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]

_PLAIN = [
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BiasGelu",
    "Binarizer",
    "BitCast",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "FastGelu",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Imputer",
    "IsInf",
    "IsNaN",
    "LabelEncoder",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "QuickGelu",
    "Reciprocal",
    "RegexFullMatch",
    "Relu",
    "Round",
    "Scaler",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "StringConcat",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
]
_SMOOTH = frozenset({"Add", "Identity", "Mul", "Neg", "Sub"})


def _plain(step: Step) -> list[Bits]:
    bits = _together([step.bits(i) for i in range(len(step.inputs)) if step.has(i)])
    if not anything(bits) & MARKS or _is_smooth(step):
        return [bits]
    if _asks_for_minus_one(step):
        return [nothing(len(step.out()))]
    return [np.where(bits & MARKS, bits | STEP, bits)]


def _together(given: list[Bits]) -> Bits:
    return reduce(np.bitwise_or, given)


def _is_smooth(step: Step) -> bool:
    """Whether a polynomial of the batch's size stays one."""
    kind = step.node.op_type
    known = [value is not None for value in step.values]
    if kind == "Cast":
        return known[0]  # from an integer
    if kind == "Where":
        return not step.marks(0)
    if kind == "Div":
        return _divides(*step.values) and _divides(*step.smaller)
    if kind == "Max":
        return _is_size_over(step, 1)  # Max(size, 1) is the size
    return kind in _SMOOTH


def _divides(dividend: np.ndarray | None, divisor: np.ndarray | None) -> bool:
    if dividend is None or divisor is None or not divisor.all():
        return False
    return not (dividend % divisor).any()


def _asks_for_minus_one(step: Step) -> bool:
    """``shape == -1``: no size is. Exporters write it to fill in the sizes of an Expand."""
    return step.node.op_type == "Equal" and _is_size_over(step, -1)


def _is_size_over(step: Step, most: int) -> bool:
    """Whether one of two inputs is a size that grows with the batch, the other such a constant."""
    for marked, other in ((0, 1), (1, 0)):
        small, large, constant = step.smaller[marked], step.values[marked], step.values[other]
        if small is None or large is None or constant is None or step.all_of(other):
            continue
        is_marked = np.broadcast_to(step.bits(marked) & MARKS != 0, large.shape)
        # what is taken from a size may be below the constant in a small batch
        grows = (small >= 1) & (large >= small)
        return bool(grows[is_marked].all() and (constant <= most).all())
    return False


def _like_first(step: Step) -> list[Bits]:
    """CastLike takes from its second input the type only."""
    return [step.bits(0)]


def _dropout(step: Step) -> list[Bits]:
    """Dropout passes its input and gives a mask; in training mode (input 2), a random one."""
    is_training = step.has(2) and bool(step.value(2).any())
    mark = RANDOM if is_training else NOTHING
    return [step.bits(0) | mark, nothing(step.rank(0)) | mark][: len(step.node.output)]


def _quantize(step: Step) -> list[Bits]:
    """Scale and zero point: one for all, one for each index of an axis, or one for each block."""
    bits = step.bits(0)
    axis = step.axis(1)
    for position in (1, 2):
        if not step.has(position):
            continue
        scale = step.bits(position)
        if scale.ndim == 1 and scale.shape != (1,):
            scale = scale.reshape([-1 if i == axis else 1 for i in range(bits.ndim)])
        elif scale.ndim != 0:
            scale = np.full((1,) * bits.ndim, anything(scale), np.uint32)
        bits = bits | scale
    return [bits]


def _affine(step: Step) -> list[Bits]:
    """BatchNormalization with given statistics: one scale and shift for each channel."""
    rank = step.rank(0)
    parameters = step.all_of(1, 2, 3, 4)
    result = step.bits(0) | parameters
    if step.attribute("training_mode", 0) or (step.opset < 14 and len(step.node.output) > 1):
        axes = [axis for axis in range(rank) if axis != 1]
        merged = step.merged(0, axes) | parameters
        return [merged, *(merged.reshape(-1) for _ in step.node.output[1:])]
    return [result, *(nothing(1) for _ in step.node.output[1:])]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_PLAIN, _plain),
    "CastLike": _like_first,
    "Dropout": _dropout,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _quantize,
    "BatchNormalization": _affine,
}
"""By operator."""
