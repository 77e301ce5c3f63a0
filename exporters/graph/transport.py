"""Carry an affine map past the nodes that only move numbers, or average them.

If every channel is scaled and shifted, it does not matter whether that is done before or after a
Transpose, a Reshape that keeps channels together, a Concat, a reflecting Pad or an average over
other axes. (A Pad with zeros is not among them: it pads with 0 before the map and after it with
what the map makes of 0.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from exporters.graph.affine import Affine, AffineAt
from exporters.graph.values import Array, dims, first_input, integers, is_op, optional_input, rank

Dims = Sequence[int | str | None]


def upstream(node: ir.Node, wanted: AffineAt) -> tuple[AffineAt, ...] | None:
    """What a map on the output of a node is on its inputs.

    Returns:
        One map for every input that the node moves; None where the node does not commute.
    """
    if is_op(node, "Concat"):
        return _through_concat(node, wanted)
    axis, affine = wanted.axis, wanted.affine
    source = first_input(node) if node.inputs else None
    if source is None:
        return None
    if is_op(node, "Transpose"):
        return (AffineAt(source, _permutation(node, rank(source) or 0)[axis], affine),)
    if is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        regrouped = _regrouped(wanted, onto=source)
        return None if regrouped is None else (regrouped,)
    if _averages_or_reflects(node, axis):
        return (AffineAt(source, axis, affine),)
    return None


def downstream(node: ir.Node, wanted: AffineAt) -> AffineAt | None:
    """What a map on the first input of a node is on its output; None where it does not commute."""
    axis, affine = wanted.axis, wanted.affine
    source, output = first_input(node), node.outputs[0]
    if is_op(node, "Transpose"):
        return AffineAt(output, _permutation(node, rank(source) or 0).index(axis), affine)
    if is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        return _regrouped(AffineAt(source, axis, affine), onto=output)
    if _averages_or_reflects(node, axis):
        return AffineAt(output, axis, affine)
    return None


def _permutation(node: ir.Node, count: int) -> list[int]:
    return list(node.attributes.get_ints("perm", tuple(reversed(range(count)))))


def _through_concat(node: ir.Node, wanted: AffineAt) -> tuple[AffineAt, ...] | None:
    axis, affine = wanted.axis, wanted.affine
    count = rank(node.outputs[0])
    along = node.attributes.get_int("axis")
    if count is None or along is None:
        return None
    carried, start = [], 0
    for value in node.inputs:
        if value is None:
            return None
        if along % count != axis:
            carried.append(AffineAt(value, axis, affine))
            continue
        shape = dims(value)
        size = None if shape is None else shape[axis]
        if not isinstance(size, int):
            return None
        carried.append(AffineAt(value, axis, affine.part(start, start + size)))
        start += size
    return tuple(carried)


def _regrouped(fine: AffineAt, *, onto: ir.Value) -> AffineAt | None:
    """Move a map onto a value of another shape, one axis of which is made of whole axes of it.

    The channels of (batch, channels, 4, 4) flattened to (batch, 16 * channels) come 16 times each.
    """
    fine_dims, coarse_dims = dims(fine.value), dims(onto)
    if fine_dims is None or coarse_dims is None:
        return None
    for first, last in _groups(len(fine_dims), fine.axis):
        group = fine_dims[first:last]
        sizes = [size for size in group if isinstance(size, int)]
        if len(sizes) != len(group):
            continue
        for coarse_axis, size in enumerate(coarse_dims):
            before = _same(fine_dims[:first], coarse_dims[:coarse_axis])
            behind = _same(fine_dims[last:], coarse_dims[coarse_axis + 1 :])
            if size == math.prod(sizes) and (before or behind):
                position = fine.axis - first
                scale = _spread(fine.affine.scale, sizes, axis=position)
                shift = _spread(fine.affine.shift, sizes, axis=position)
                return AffineAt(onto, coarse_axis, Affine(scale, shift))
    return None


def _groups(count: int, axis: int) -> list[tuple[int, int]]:
    """All runs [first, last) of neighbouring axes that contain the axis, the shortest first."""
    runs = itertools.product(range(axis, -1, -1), range(axis + 1, count + 1))
    return sorted(runs, key=lambda run: run[1] - run[0])


def _same(one: Dims, other: Dims) -> bool:
    """Whether two runs of dimensions hold the same sizes in order, apart from sizes of 1."""
    left, right = ([size for size in sizes if size != 1] for sizes in (one, other))
    return left == right and None not in left


def _spread(numbers: Array, sizes: Sequence[int], *, axis: int) -> Array:
    """The numbers per index of an axis, repeated over the other axes of its group, flat."""
    shape = [size if index == axis else 1 for index, size in enumerate(sizes)]
    return np.broadcast_to(numbers.reshape(shape), sizes).reshape(-1)


def _averages_or_reflects(node: ir.Node, axis: int) -> bool:
    if is_op(node, "Identity"):
        return True
    if is_op(node, "GlobalAveragePool"):
        return axis == 1
    if is_op(node, "AveragePool"):
        # Without count_include_pad, a window at the border is the average of what is inside.
        return axis == 1 and (is_unpadded(node) or not _counts_padding(node))
    if is_op(node, "ReduceMean"):
        axes, count = integers(optional_input(node, 1)), rank(first_input(node))
        keeps = node.attributes.get_int("keepdims", 1) == 1
        if not axes or count is None:
            return False
        reduced = {each % count for each in axes}
        return axis not in reduced and (keeps or all(each > axis for each in reduced))
    if is_op(node, "Pad"):
        return _reflects(node, axis)
    return False


def is_unpadded(node: ir.Node) -> bool:
    """Whether every window of a Conv or a pool lies inside its input."""
    return (
        not any(node.attributes.get_ints("pads", ()))
        and node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and node.attributes.get_int("ceil_mode", 0) == 0
    )


def _counts_padding(node: ir.Node) -> bool:
    return node.attributes.get_int("count_include_pad", 0) == 1


def _reflects(node: ir.Node, axis: int) -> bool:
    """Whether a Pad fills with numbers of the same channel."""
    count = rank(first_input(node))
    pads = integers(optional_input(node, 1))
    if count is None or pads is None:
        return False
    if node.attributes.get_string("mode", "constant") not in ("reflect", "edge", "wrap"):
        return False
    given = optional_input(node, 3)
    axes = tuple(range(count)) if given is None else integers(given)
    if axes is None or len(pads) != 2 * len(axes):
        return False
    padded = {
        each % count
        for each, before, behind in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
        if before or behind
    }
    return axis not in padded
