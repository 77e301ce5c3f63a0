"""The one concept that every fold uses: y = scale * x + shift, a number of each per channel.

BatchNormalization in inference, a multiplication or an addition with a constant per channel (frozen
BatchNorm, LayerScale), and any row of them one after the other are such a map. This module reads
them from a graph and calculates with them, in float64; it changes no graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from exporters.graph.values import (
    FLOATS,
    Array,
    constant64,
    dims,
    first_input,
    has_single_use,
    is_op,
    producer,
    rank,
    size_at,
)


@dataclass(frozen=True, slots=True)
class Affine:
    """y = scale * x + shift along one axis.

    Attributes:
        scale: (channels,) float64.
        shift: (channels,) float64.
    """

    scale: Array
    shift: Array

    def after(self, inner: Affine) -> Affine:
        """The map x -> self(inner(x))."""
        return Affine(scale=self.scale * inner.scale, shift=self.scale * inner.shift + self.shift)

    def part(self, start: int, stop: int) -> Affine:
        """The same map for the channels from start up to stop."""
        return Affine(scale=self.scale[start:stop], shift=self.shift[start:stop])

    @property
    def has_shift(self) -> bool:
        """Whether the map moves zero."""
        return bool(self.shift.any())

    @property
    def is_finite(self) -> bool:
        """Whether every number is finite (a negative running variance has no square root)."""
        return bool(np.isfinite(self.scale).all() and np.isfinite(self.shift).all())


@dataclass(frozen=True, slots=True)
class AffineAt:
    """An affine map and the value it is to be applied to, or was.

    Attributes:
        value: The value.
        axis: The axis of the channels, counted from the front.
        affine: The map.
    """

    value: ir.Value
    axis: int
    affine: Affine

    @property
    def channels(self) -> int:
        """The number of channels."""
        return self.affine.scale.size


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the graph where an affine map is applied.

    Attributes:
        nodes: The nodes that apply it, in order; every one but the last has the next as its only
            reader.
        source: What it is applied to.
        axis: The axis of the channels, counted from the front.
        affine: The map.
    """

    nodes: tuple[ir.Node, ...]
    source: ir.Value
    axis: int
    affine: Affine

    @property
    def output(self) -> ir.Value:
        """The value after the map."""
        return self.nodes[-1].outputs[0]

    @property
    def has_batch_norm(self) -> bool:
        """Whether one of the nodes is a BatchNormalization."""
        return any(is_op(node, "BatchNormalization") for node in self.nodes)

    @property
    def scales(self) -> bool:
        """Whether a node does more than add."""
        return any(not is_op(node, "Add", "Sub") for node in self.nodes)


def read_site(last: ir.Node) -> Site | None:
    """The longest row of affine nodes that ends at the node, as one map.

    Returns:
        None where the node applies no affine map with constant, finite numbers.
    """
    site = _read_node(last)
    while site is not None:
        before = producer(site.source, "BatchNormalization", "Mul", "Div", "Add", "Sub")
        if before is None or not has_single_use(site.source) or before.graph is not last.graph:
            break
        earlier = _read_node(before)
        if earlier is None or earlier.axis != site.axis or _is_bias_of_product(earlier):
            break
        affine = site.affine.after(earlier.affine)
        if not affine.is_finite:
            break
        site = Site((before, *site.nodes), earlier.source, site.axis, affine)
    return site


def _is_bias_of_product(site: Site) -> bool:
    """Whether the site is the Add of a Linear over tokens, which stays the Linear's own."""
    return not site.scales and producer(site.source, "MatMul") is not None


def _read_node(node: ir.Node) -> Site | None:
    if is_op(node, "BatchNormalization"):
        site = _read_batch_norm(node)
    elif is_op(node, "Mul", "Add", "Sub", "Div"):
        site = _read_arithmetic(node)
    else:
        site = None
    return site if site is not None and site.affine.is_finite else None


def _read_batch_norm(node: ir.Node) -> Site | None:
    """Read gamma * (x - mean) / sqrt(variance + epsilon) + beta (Ioffe and Szegedy, 2015)."""
    if node.attributes.get_int("training_mode", 0) or len(node.outputs) != 1:
        return None
    arrays = [constant64(value) for value in node.inputs[1:5]]
    gamma, beta, mean, variance = (*arrays, None, None, None, None)[:4]
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + epsilon)
        return Site((node,), first_input(node), 1, Affine(scale, beta - mean * scale))


def _read_arithmetic(node: ir.Node) -> Site | None:
    """Read x * c, c * x, x / c, x + c, c + x, x - c, c - x; c varies along one axis only."""
    for index, other in ((0, 1), (1, 0)):
        data, array = node.inputs[index], constant64(node.inputs[other])
        if data is None or array is None or data.dtype not in FLOATS:
            continue
        axis = _channel_axis(data, array)
        if axis is None or (is_op(node, "Div") and index == 1):
            return None
        numbers = array.reshape(-1)
        ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
        with np.errstate(all="ignore"):
            affine = {
                "Mul": Affine(numbers, zeros),
                "Div": Affine(1.0 / numbers, zeros),
                "Add": Affine(ones, numbers),
                "Sub": Affine(ones, -numbers) if index == 0 else Affine(-ones, numbers),
            }[node.op_type]
        return Site((node,), data, axis, affine)
    return None


def _channel_axis(data: ir.Value, array: Array) -> int | None:
    """The one axis of the data along which the constant has the data's own static size."""
    shape, varying = dims(data), [axis for axis, size in enumerate(array.shape) if size != 1]
    data_rank = rank(data)
    if shape is None or data_rank is None or array.ndim > data_rank or len(varying) != 1:
        return None
    axis = data_rank - array.ndim + varying[0]
    return axis if size_at(data, axis) == array.size else None
