"""Put an affine map into the weights of the nodes that read its result.

For a consumer W x + c the map x = s * z + t makes (W s) z + (c + W t). A convolution with zero
padding is no such consumer, because it pads with 0 and not with what the map makes of 0, unless the
map does not move 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from exporters.graph.affine import AffineAt
from exporters.graph.change import Change, planned, shifted
from exporters.graph.transport import downstream, is_unpadded
from exporters.graph.values import constant64, optional_input, rank


def plan_in_front(wanted: AffineAt) -> list[Change] | None:
    """The changes that let every reader of a map's result do with the value before the map.

    Args:
        wanted: The map and its result.

    Returns:
        None where some reader cannot take the map up exactly; nothing is changed yet.
    """
    value = wanted.value
    uses = tuple(value.uses())
    if value.is_graph_output() or not uses:
        return None
    producer = value.producer()
    changes: list[Change] = []
    for use in uses:
        node = use.node
        if use.idx != 0 or node.domain not in ("", "ai.onnx"):
            return None
        if producer is not None and node.graph is not producer.graph:
            return None
        plan = _plan(node, wanted)
        if plan is None:
            return None
        changes.extend(plan)
    return changes


def _plan(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    absorb = _CONSUMERS.get(node.op_type)
    if absorb is not None:
        return absorb(node, wanted)
    carried = downstream(node, wanted)
    return None if carried is None else plan_in_front(carried)


def _conv(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Weights (out, in / group, *kernel); output channel o reads the inputs of its group."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    if wanted.axis != 1 or weight is None:
        return None
    if affine.has_shift and not is_unpadded(node):
        return None
    group = node.attributes.get_int("group", 1)
    if weight.shape[1] * group != wanted.channels:
        return None
    kernel = [1] * (weight.ndim - 2)
    repeats = weight.shape[0] // group
    scale, shift = (
        np.repeat(each.reshape(group, -1), repeats, axis=0).reshape(*weight.shape[:2], *kernel)
        for each in (affine.scale, affine.shift)
    )
    moved = (weight * shift).reshape(weight.shape[0], -1).sum(axis=1)
    bias = optional_input(node, 2)
    if bias is None:
        changed = planned(node, {1: weight * scale, 2: moved if affine.has_shift else None})
    else:
        old = constant64(bias)
        changed = None if old is None else planned(node, {1: weight * scale, 2: old + moved})
    return None if changed is None else [changed]


def _gemm(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Alpha * A @ B + beta * C, with B (in, out) or, when transB is set, (out, in)."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    alpha, beta = (node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    if (
        wanted.axis != 1
        or weight is None
        or node.attributes.get_int("transA", 0) == 1
        or beta == 0.0
    ):
        return None
    transposed = bool(node.attributes.get_int("transB", 0))
    by_input = weight.T if transposed else weight
    if by_input.shape[0] != wanted.channels:
        return None
    scaled = by_input * affine.scale[:, None]
    given = optional_input(node, 2)
    bias = np.zeros(by_input.shape[1]) if given is None else constant64(given)
    if bias is None:
        return None
    moved = bias + alpha / beta * (affine.shift @ by_input)
    change = planned(node, {1: scaled.T if transposed else scaled, 2: moved})
    return None if change is None else [change]


def _mat_mul(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """X @ W, W (in, out): the shift goes into the Add behind the node."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    count = rank(node.outputs[0])
    if weight is None or weight.ndim != 2 or count is None or count != wanted.axis + 1:
        return None
    if weight.shape[0] != wanted.channels:
        return None
    scaled = planned(node, {1: weight * affine.scale[:, None]})
    if scaled is None or not affine.has_shift:
        return None if scaled is None else [scaled]
    behind = shifted(node, axis=wanted.axis, shift=affine.shift @ weight)
    if behind is None:
        return None
    if behind.node is node:
        return [Change(node, scaled.constants, behind.added)]
    return [scaled, behind]


_CONSUMERS: dict[str, Callable[[ir.Node, AffineAt], list[Change] | None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
}
