"""Group and instance normalization as primitive operators, accurate in float32.

Not for: which nodes of a model to replace (`bundle.lowering`).

Three forms. Over few elements InstanceNormalization over groups (Wu & He 2018,
https://arxiv.org/abs/1803.08494): one kernel, which subtracts the mean first, and 2.1 to 2.4 times
faster than the function body of GroupNormalization. Over many the mean and the variance are sums of
sums, whose rounding error grows with the length of the longer one and not with their product
(pairwise summation; Higham 1993, https://doi.org/10.1137/0914050): from one kernel where the
runtime has it (`bundle.moment_form`), from ReduceMean everywhere else.
"""

import math
from collections.abc import Callable

import numpy as np
import onnx

from bundle.moment_form import from_moments
from bundle.normalization import FLOAT, Nodes, Normalization

__all__ = ["accurate_form"]

MANY = 2048
"""Elements of a group beyond which one running sum is too inaccurate.

Measured on inputs behind a ReLU, whose errors are all of one sign: ONNX Runtime's kernel is off by
3 ulps of the largest value at 1,024 elements, 20 at 7,168, 150 at 65,536, 2,300 at 1,048,576.
"""


def accurate_form(
    norm: Normalization, fresh: Callable[[str], str], *, is_portable: bool
) -> list[onnx.NodeProto] | None:
    """The nodes that compute what one node does.

    Args:
        norm: the node.
        fresh: gives names that nothing else has.
        is_portable: whether they are to be fast on other runtimes too than this machine's ONNX
            Runtime on its CPU provider.

    Returns:
        The last one's output is the node's. None where the node itself is accurate, or nothing
        more accurate is known.
    """
    nodes = Nodes(norm, fresh)
    if _is_large(norm):
        if is_portable or not from_moments(norm, nodes):
            _sums_of_sums(norm, nodes)
    elif norm.groups is not None:
        _instances(norm, nodes)
    else:
        return None
    return nodes.made


def _instances(norm: Normalization, nodes: Nodes) -> None:
    x, scale, shift = norm.node.input
    groups = norm.groups or 0
    epsilon = norm.epsilon
    shape = nodes.add("Shape", x)
    grouped = nodes.add("Reshape", nodes.as_float(x), nodes.constant(0, groups, -1))
    if norm.scales_channels:
        one, zero = np.ones(groups, np.float32), np.zeros(groups, np.float32)
        normalized = nodes.add(
            "InstanceNormalization", grouped, nodes.array(one), nodes.array(zero), epsilon=epsilon
        )
        spatial = _spatial_axes(norm, nodes, shape)
        restored = nodes.add("Reshape", normalized, shape)
        factor = nodes.add("Unsqueeze", nodes.as_float(scale), spatial)
        scaled = nodes.add("Mul", restored, factor)
        nodes.add("Add", scaled, nodes.add("Unsqueeze", nodes.as_float(shift), spatial))
    else:
        scale, shift = nodes.as_float(scale), nodes.as_float(shift)
        normalized = nodes.add("InstanceNormalization", grouped, scale, shift, epsilon=epsilon)
        nodes.add("Reshape", normalized, shape)
    nodes.end()


def _sums_of_sums(norm: Normalization, nodes: Nodes) -> None:
    x, scale, shift = norm.node.input
    groups = norm.groups or 0  # 0: as many as x has channels
    shape = nodes.add("Shape", x)
    blocks = nodes.add("Reshape", nodes.as_float(x), _block_shape(norm, nodes, x))
    columns, rows = nodes.constant(-1), nodes.constant(-2)

    def mean(value: str) -> str:
        return nodes.add("ReduceMean", nodes.add("ReduceMean", value, columns), rows)

    centred = nodes.add("Sub", blocks, mean(blocks))
    variance = mean(nodes.add("Mul", centred, centred))
    stable = nodes.add("Add", variance, nodes.array(np.array(norm.epsilon, np.float32)))
    if norm.scales_channels:
        in_group = (norm.channels or 0) // groups
        centred = nodes.add("Reshape", centred, nodes.constant(0, groups, in_group, -1))
        column = nodes.constant(groups, in_group, 1)
    else:
        column = nodes.constant(-1, 1, 1)
    factor = nodes.add(
        "Div", nodes.add("Reshape", nodes.as_float(scale), column), nodes.add("Sqrt", stable)
    )
    offset = nodes.add("Reshape", nodes.as_float(shift), column)
    nodes.add("Reshape", nodes.add("Add", nodes.add("Mul", centred, factor), offset), shape)
    nodes.end()


def _is_large(norm: Normalization) -> bool:
    """Whether groups have, or may have, many elements, and can be cut into blocks."""
    if norm.channels is None or (norm.groups is None and norm.given.element != FLOAT):
        return False  # InstanceNormalization has statistics of its own type
    if norm.elements is None:
        return norm.given.shape is not None and len(norm.given.shape) > 3
    return norm.elements > MANY and _block(norm.elements) > 1


def _block(elements: int) -> int:
    """The largest divisor up to the square root."""
    return next(size for size in range(math.isqrt(elements), 0, -1) if elements % size == 0)


def _block_shape(norm: Normalization, nodes: Nodes, x: str) -> str:
    """(N, groups, blocks, elements of a block): of known sizes, or the last axis of x."""
    groups = norm.groups or 0
    if norm.elements is not None:
        block = _block(norm.elements)
        return nodes.constant(0, groups, block, norm.elements // block)
    last = nodes.add("Shape", x, start=-1)
    return nodes.add("Concat", nodes.constant(0, groups, -1), last, axis=0)


def _spatial_axes(norm: Normalization, nodes: Nodes, shape: str) -> str:
    """1 to rank - 2: a column of channels beside them."""
    if norm.given.shape is not None:
        return nodes.constant(*range(1, len(norm.given.shape) - 1))
    one = nodes.array(np.array(1, np.int64))
    return nodes.add("Range", one, nodes.add("Sub", nodes.add("Size", shape), one), one)
