"""Put an affine map into the weights of the node before it. Decides nothing about order.

For a producer y = W x + c the map s * y + t is (s W) x + (s c + t), whatever its stride, dilation
or padding, because the map comes after it. Convolutions of every rank, matrix products and the
scale and bias of a normalization are such producers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from exporters.graph.affine import Affine, AffineAt
from exporters.graph.change import Change, per_channel, planned
from exporters.graph.transport import upstream
from exporters.graph.values import (
    Array,
    constant,
    constant64,
    dims,
    has_single_use,
    optional_input,
    rank,
    rounded,
    size_at,
)


def plan_behind(wanted: AffineAt) -> list[Change] | None:
    """The changes that make a value come out with a map already applied.

    Args:
        wanted: The map and what it is applied to, which must have no other reader, because that
            would see changed numbers.

    Returns:
        None where some node on the way cannot take the map up exactly; nothing is changed yet.
    """
    value = wanted.value
    node = value.producer()
    if node is None or not has_single_use(value) or node.domain not in ("", "ai.onnx"):
        return None
    if node.outputs[0] is not value:
        return None
    absorb = _PRODUCERS.get(node.op_type)
    if absorb is not None:
        return absorb(node, wanted)
    carried = upstream(node, wanted)
    if carried is None:
        return None
    changes: list[Change] = []
    for each in carried:
        plan = plan_behind(each)
        if plan is None:
            return None
        changes.extend(plan)
    return changes


def _one(change: Change | None) -> list[Change] | None:
    return None if change is None else [change]


def _bias(node: ir.Node, index: int, size: int) -> Array | None:
    """The bias at an input, zeros where it is left out, None where it is not constant."""
    value = optional_input(node, index)
    return np.zeros(size) if value is None else constant64(value)


def _conv(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Weights (out, in / group, *kernel)."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    channels = wanted.channels
    bias = _bias(node, 2, channels)
    if wanted.axis != 1 or weight is None or bias is None or weight.shape[0] != channels:
        return None
    scaled = weight * per_channel(affine.scale, axis=0, rank=weight.ndim)
    return _one(planned(node, {1: scaled, 2: affine.scale * bias + affine.shift}))


def _conv_transpose(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Weights (in, out / group, *kernel); the inputs of group g make the outputs of group g."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    group = node.attributes.get_int("group", 1)
    channels = wanted.channels
    bias = _bias(node, 2, channels)
    if wanted.axis != 1 or weight is None or bias is None or weight.shape[1] * group != channels:
        return None
    grouped = weight.reshape(group, -1, *weight.shape[1:])
    scale = affine.scale.reshape(group, 1, -1, *[1] * (weight.ndim - 2))
    scaled = (grouped * scale).reshape(weight.shape)
    return _one(planned(node, {1: scaled, 2: affine.scale * bias + affine.shift}))


def _gemm(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Alpha * A @ B + beta * C, with B (in, out) or, when transB is set, (out, in)."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    channels = wanted.channels
    bias = _bias(node, 2, channels)
    beta = node.attributes.get_float("beta", 1.0)
    along = 0 if node.attributes.get_int("transB", 0) else 1
    if wanted.axis != 1 or weight is None or bias is None or weight.shape[along] != channels:
        return None
    if beta == 0.0:
        return None
    scaled = weight * per_channel(affine.scale, axis=along, rank=2)
    return _one(planned(node, {1: scaled, 2: affine.scale * bias + affine.shift / beta}))


def _mat_mul(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """X @ W, W (in, out): the scale goes into W, a shift into an Add behind the node."""
    affine = wanted.affine
    weight = constant64(optional_input(node, 1))
    if weight is None or weight.ndim != 2 or rank(node.outputs[0]) != wanted.axis + 1:
        return None
    if weight.shape[1] != wanted.channels or bool((affine.scale == 1.0).all()):
        return None
    scaled = planned(node, {1: weight * affine.scale})
    if scaled is None or not affine.has_shift:
        return _one(scaled)
    added = rounded(affine.shift, node.outputs[0])
    return None if added is None else [Change(node, scaled.constants, added)]


def _add(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """X + c: x takes the scale, c the scale and the shift."""
    affine = wanted.affine
    count = rank(node.outputs[0])
    if count is None:
        return None
    scale = per_channel(affine.scale, axis=wanted.axis, rank=count)
    shift = per_channel(affine.shift, axis=wanted.axis, rank=count)
    for index, other in ((0, 1), (1, 0)):
        data, bias = node.inputs[index], constant64(node.inputs[other])
        if data is None or bias is None or constant(data) is not None or rank(data) != count:
            continue
        if size_at(data, wanted.axis) != wanted.channels:
            return None
        change = planned(node, {other: scale * bias + shift})
        if change is None or bool((affine.scale == 1.0).all()):
            return _one(change)
        scaling = Affine(affine.scale, np.zeros_like(affine.shift))
        before = plan_behind(AffineAt(data, wanted.axis, scaling))
        return None if before is None else [*before, change]
    return None


def _channel_norm(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Scale and bias (channels,) of Batch-, Instance- and GroupNormalization."""
    affine = wanted.affine
    scale, bias = constant64(node.inputs[1]), constant64(node.inputs[2])
    if wanted.axis != 1 or scale is None or bias is None or scale.size != wanted.channels:
        return None
    if node.attributes.get_int("training_mode", 0):
        return None
    changed = {1: affine.scale * scale, 2: affine.scale * bias + affine.shift}
    return _one(planned(node, changed))


def _layer_norm(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """Scale and optional bias (channels,) of LayerNormalization over the last axis."""
    affine = wanted.affine
    scale, bias = constant64(node.inputs[1]), _bias(node, 2, wanted.channels)
    if not _normalizes_channels(node, wanted) or scale is None or bias is None:
        return None
    shift = affine.scale * bias + affine.shift
    unbiased = optional_input(node, 2) is None and not shift.any()
    return _one(planned(node, {1: affine.scale * scale, 2: None if unbiased else shift}))


def _rms_norm(node: ir.Node, wanted: AffineAt) -> list[Change] | None:
    """RMSNormalization over the last axis has a scale (channels,) and no bias."""
    scale = constant64(node.inputs[1])
    if not _normalizes_channels(node, wanted) or scale is None or wanted.affine.has_shift:
        return None
    return _one(planned(node, {1: wanted.affine.scale * scale}))


def _normalizes_channels(node: ir.Node, wanted: AffineAt) -> bool:
    """Whether a norm has one scale per channel, along the last axis and no other."""
    count, scale = rank(node.outputs[0]), node.inputs[1]
    last = count is not None and wanted.axis == count - 1
    first_axis = node.attributes.get_int("axis", -1)
    return last and first_axis in (-1, wanted.axis) and _sizes(scale) == (wanted.channels,)


def _sizes(value: ir.Value | None) -> tuple[int | str | None, ...] | None:
    return None if value is None else dims(value)


_PRODUCERS: dict[str, Callable[[ir.Node, AffineAt], list[Change] | None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
    "Add": _add,
    "BatchNormalization": _channel_norm,
    "InstanceNormalization": _channel_norm,
    "GroupNormalization": _channel_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
}
