"""Operators that sum products of two tensors: matrix products, convolutions, attention."""

import string
from collections.abc import Mapping, Sequence

import numpy as np

from bundle.checks.reach.bits import POSITION, Bits, anything, compact, merge
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]


def _matmul(first: int = 0, second: int = 1, *, others: tuple[int, ...] = ()) -> Rule:
    """MatMul and its quantized forms; ``others`` are scales and zero points."""

    def rule(step: Step) -> list[Bits]:
        a = step.merged(first, [step.rank(first) - 1])
        b = step.merged(second, [max(step.rank(second) - 2, 0)])
        result = np.atleast_2d(a) | np.atleast_2d(b) | step.all_of(*others)
        if b.ndim == 1:
            result = result[..., 0]
        if a.ndim == 1:
            result = result[..., 0] if b.ndim == 1 else result[..., 0, :]
        return [result]

    return rule


def _by_weights(step: Step) -> list[Bits]:
    """com.microsoft.MatMulNBits: the last axis against a packed weight."""
    merged = step.merged(0, [step.rank(0) - 1])
    return [merged | step.all_of(*range(1, len(step.inputs)))]


def _dynamic(step: Step) -> list[Bits]:
    """com.microsoft.Dynamic…: one scale from the extremes of the whole input."""
    everything = step.merged(0, range(step.rank(0))).reshape(-1)[0] | step.everything()
    return [np.full((1,) * len(step.out()), everything, np.uint32)]


def _gemm(step: Step) -> list[Bits]:
    a = step.merged(0, [0 if step.attribute("transA", 0) else 1])
    b = step.merged(1, [1 if step.attribute("transB", 0) else 0])
    result = (a.T if step.attribute("transA", 0) else a) | (
        b.T if step.attribute("transB", 0) else b
    )
    return [result | step.bits(2) if step.has(2) else result]


def _einsum(step: Step) -> list[Bits]:
    equation = step.attribute("equation").decode().replace(" ", "")
    terms, wanted = _spelled(equation, [step.rank(i) for i in range(len(step.inputs))])
    result: Bits = np.zeros((1,) * len(wanted), np.uint32)
    for position, term in enumerate(terms):
        summed = [axis for axis, index in enumerate(term) if index not in wanted]
        merged, spelled = _diagonal(step, step.merged(position, summed), position, term)
        lengths = dict(zip(spelled, merged.shape, strict=True))
        kept = [index for index in wanted if index in spelled]
        order = [spelled.index(index) for index in kept]
        order += [axis for axis in range(merged.ndim) if axis not in order]
        aligned = merged.transpose(order).reshape([lengths.get(index, 1) for index in wanted])
        result = result | aligned
    return [result]


def _diagonal(step: Step, bits: Bits, position: int, term: str) -> tuple[Bits, str]:
    """An index that stands twice takes a diagonal; along the batch, it counts positions."""
    for index in dict.fromkeys(term):
        axes = [axis for axis, other in enumerate(term) if other == index]
        if len(axes) > 1 and bits.shape[axes[0]] == bits.shape[axes[1]] == 1:
            bits, term = bits.squeeze(axes[1]), term[: axes[1]] + term[axes[1] + 1 :]
        elif len(axes) > 1:
            full = list(bits.shape)
            full[axes[0]] = full[axes[1]] = step.shape(position)[axes[0]]
            bits = np.diagonal(np.broadcast_to(bits, full), axis1=axes[0], axis2=axes[1])
            term = term.replace(index, "") + index
        if len(axes) > 1 and step.reach(position).sized.intersection(axes):
            bits = bits | POSITION
    return bits, term


def _spelled(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The indices of each input and of the result, with a letter for each axis of an ellipsis."""
    left, arrow, right = equation.partition("->")
    letters = left.replace("...", "").replace(",", "")
    spare = [letter for letter in string.ascii_letters if letter not in letters]
    terms = []
    most = ""
    for term, rank in zip(left.split(","), ranks, strict=True):
        count = rank - len(term.replace("...", ""))
        axes = "".join(spare[:count][::-1])  # the last axis of every ellipsis is the same
        most = max(most, axes, key=len) if "..." in term else most
        terms.append(term.replace("...", axes))
    if not arrow:
        right = "..." + "".join(sorted(each for each in letters if letters.count(each) == 1))
    return terms, right.replace("...", most)


def _convolution(x: int = 0, weight: int = 1, *, others: tuple[int, ...] = (2,)) -> Rule:
    """Conv, ConvTranspose and quantized forms: channels of a group and a window come together."""

    def rule(step: Step) -> list[Bits]:
        shape = step.shape(x)
        groups, channels = int(step.attribute("group", 1)), step.out()[1]
        spatial = [
            axis for axis in range(2, len(shape)) if not _is_pointwise(step, axis - 2, weight)
        ]
        merged = step.merged(x, spatial)
        if groups == 1:
            merged = merge(merged, [1]) if 1 not in step.reach(x).sized else step.merged(x, [1])
        elif merged.shape[1] > 1:
            grouped = merged.reshape(merged.shape[0], groups, -1, *merged.shape[2:])
            each = merge(grouped, [2])[:, :, 0]
            merged = compact(np.repeat(each, channels // groups, axis=1))
        return [merged | step.all_of(weight, *others)]

    return rule


def _pool(step: Step) -> list[Bits]:
    """AveragePool, MaxPool, LpPool. MaxPool's indices count from the start of the batch."""
    axes = [2 + i for i in range(step.rank(0) - 2) if not _is_pointwise(step, i)]
    merged = step.merged(0, axes)
    return [merged, *(merged | POSITION for _ in step.node.output[1:])]


def _is_pointwise(step: Step, dimension: int, weight: int = 1) -> bool:
    sizes = step.attribute("kernel_shape") or step.shape(weight)[2:]
    strides, pads = step.attribute("strides"), step.attribute("pads")
    auto = step.attribute("auto_pad", b"NOTSET")
    return (
        sizes[dimension] == 1
        and (not strides or strides[dimension] == 1)
        and (not pads or not any(pads[dimension :: len(pads) // 2]))
        and auto in (b"NOTSET", b"VALID")
    )


def _per_row(*aligned: int, ignored: tuple[int, ...] = ()) -> Rule:
    """Everything within a row comes together, rows do not.

    Args:
        aligned: the inputs whose axis 0 is the batch; all others go into every row.
        ignored: inputs that are shapes only.
    """

    def rule(step: Step) -> list[Bits]:
        shared = step.all_of(*(i for i in range(len(step.inputs)) if i not in (*aligned, *ignored)))
        rows: Bits = np.full(1, shared, np.uint32)
        for position in aligned:
            if step.has(position) and step.rank(position):
                axes = range(1, step.rank(position))
                rows = rows | step.merged(position, axes).reshape(-1)
        return [_lead(rows, shape) for shape in step.shapes]

    return rule


def _attention(step: Step) -> list[Bits]:
    """Attention (Vaswani et al. 2017), opset 23: within each row; the mask broadcasts."""
    rows: Bits = np.zeros(1, np.uint32)
    for position in (0, 1, 2, 4, 5, 6):
        if step.has(position):
            rows = rows | step.merged(position, range(1, step.rank(position))).reshape(-1)
    if step.has(3):
        rank = step.rank(3)
        mask = step.merged(3, range(max(rank - 3, 0), rank))
        rows = rows | (mask.reshape(-1) if rank == 4 else anything(mask))
    return [_lead(rows, shape) for shape in step.shapes]


def _grid_sample(step: Step) -> list[Bits]:
    """GridSample (Jaderberg et al. 2015): x (N, C, …), grid (N, …, dimensions)."""
    rank = step.rank(0)
    x = step.merged(0, range(2, rank))
    grid = merge(step.bits(1), [rank - 1])
    return [x | grid.reshape(grid.shape[0], 1, *grid.shape[1:-1])]


def _roi_align(step: Step) -> list[Bits]:
    """RoiAlign (He et al. 2017): each region names the row that it is cut from."""
    rois = merge(step.bits(1), [1]).reshape(-1, 1, 1, 1)
    which = step.bits(2).reshape(-1, 1, 1, 1)
    return [step.merged(0, range(step.rank(0))) | rois | which]


def _lead(rows: Bits, shape: tuple[int, ...] | None) -> Bits:
    """The bits of an output whose axis 0 is the batch."""
    return rows.reshape([-1, *([1] * (len(shape) - 1))]) if shape else merge(rows, [0]).reshape(())


RULES: Mapping[str, Rule] = {
    "MatMul": _matmul(),
    "MatMulInteger": _matmul(others=(2, 3)),
    "QLinearMatMul": _matmul(0, 3, others=(1, 2, 4, 5, 6, 7)),
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Conv": _convolution(),
    "ConvTranspose": _convolution(),
    "ConvInteger": _convolution(others=(2, 3)),
    "QLinearConv": _convolution(0, 3, others=(1, 2, 4, 5, 6, 7, 8)),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _pool),
    **dict.fromkeys(
        (
            *("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"),
            *("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
        ),
        _per_row(0),
    ),
    "Attention": _attention,
    "AffineGrid": _per_row(0, ignored=(1,)),
    "Col2Im": _per_row(0, ignored=(1, 2)),
    "DeformConv": _per_row(0, 2, 4),
    "DepthToSpace": _per_row(0),
    "SpaceToDepth": _per_row(0),
    **dict.fromkeys(("DynamicQuantizeMatMul", "DynamicQuantizeLSTM"), _dynamic),
    "MatMulNBits": _by_weights,
    "GridSample": _grid_sample,
    "RoiAlign": _roi_align,
}
"""By operator."""
