"""Recognise a normalization that is written out: (x - mean) / sqrt(variance + epsilon).

Reads a graph and changes nothing. The many spellings (var, or the mean of squares; sqrt and divide,
reciprocal and multiply, or a power of -1/2; kept or restored dimensions) are one concept each here,
so that every combination of them is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from exporters.graph.values import dims, integers, optional_input, producer, scalar


@dataclass(frozen=True, slots=True)
class Normalized:
    """A value that is x, centred or not, divided by the root of its second moment.

    Attributes:
        source: x.
        axes: The axes that are averaged over, sorted, counted from the front.
        centred: Whether the mean is subtracted (LayerNorm) or not (RMSNorm).
        epsilon: What is added under the root.
        radicand: The value under the root, moment + epsilon.
    """

    source: ir.Value
    axes: tuple[int, ...]
    centred: bool
    epsilon: float
    radicand: ir.Value


def read_normalized(value: ir.Value) -> Normalized | None:
    """What a value normalizes, where it does.

    Args:
        value: The output of a Div or a Mul, before any scale and bias.
    """
    split = _numerator_and_radicand(value)
    if split is None:
        return None
    numerator, radicand = split
    sum_node = producer(radicand, "Add")
    if sum_node is None:
        return None
    for first, second in (sum_node.inputs, reversed(sum_node.inputs)):
        epsilon = scalar(second)
        moment = None if first is None else _second_moment(first)
        if epsilon is None or moment is None or epsilon < 0:
            continue
        source, axes, centred = moment
        if centred and _centred(numerator) != (source, axes):
            continue
        if centred or numerator is source:
            return Normalized(source, axes, centred, epsilon, radicand)
    return None


def _numerator_and_radicand(value: ir.Value) -> tuple[ir.Value, ir.Value] | None:
    """N and r of n / sqrt(r), n * (1 / sqrt(r)), n * r ** -0.5, n / r ** 0.5."""
    division = producer(value, "Div")
    if division is not None:
        numerator, radicand = division.inputs[0], _under_root(division.inputs[1], power=0.5)
        return None if numerator is None or radicand is None else (numerator, radicand)
    product = producer(value, "Mul")
    if product is None:
        return None
    for numerator, factor in (product.inputs, reversed(product.inputs)):
        radicand = _under_root(factor, power=-0.5)
        if radicand is None:
            radicand = _under_root(_reciprocal_of(factor), power=0.5)
        if numerator is not None and radicand is not None:
            return numerator, radicand
    return None


def _reciprocal_of(value: ir.Value | None) -> ir.Value | None:
    """V of 1 / v."""
    node = producer(value, "Reciprocal")
    if node is not None:
        return node.inputs[0]
    node = producer(value, "Div")
    return node.inputs[1] if node is not None and scalar(node.inputs[0]) == 1.0 else None


def _under_root(value: ir.Value | None, *, power: float) -> ir.Value | None:
    """R of r ** power; a power of 0.5 may be written as Sqrt."""
    node = producer(value, "Sqrt")
    if node is not None:
        return node.inputs[0] if power == 0.5 else None
    node = producer(value, "Pow")
    return node.inputs[0] if node is not None and scalar(node.inputs[1]) == power else None


def _second_moment(value: ir.Value) -> tuple[ir.Value, tuple[int, ...], bool] | None:
    """X, the axes, and whether x is centred, of mean((x - mean(x)) ** 2) or mean(x ** 2).

    The difference mean(x ** 2) - mean(x) ** 2 is the centred one too.
    """
    mean = _mean(value)
    if mean is not None:
        squared, axes = mean
        base = _square_root_of(squared)
        if base is None:
            return None
        centred = _centred(base)
        return (*centred, True) if centred and centred[1] == axes else (base, axes, False)
    difference = producer(value, "Sub")
    if difference is None or difference.inputs[0] is None:
        return None
    raw = _second_moment(difference.inputs[0])
    mean_value = _square_root_of(difference.inputs[1])
    mean = None if mean_value is None else _mean(mean_value)
    if raw is None or raw[2] or mean != raw[:2]:
        return None
    return (*raw[:2], True)


def _centred(value: ir.Value) -> tuple[ir.Value, tuple[int, ...]] | None:
    """X and the axes of x - mean(x)."""
    node = producer(value, "Sub")
    if node is None or node.inputs[0] is None or node.inputs[1] is None:
        return None
    mean = _mean(node.inputs[1])
    return mean if mean is not None and mean[0] is node.inputs[0] else None


def _square_root_of(value: ir.Value | None) -> ir.Value | None:
    """V of v * v or v ** 2."""
    node = producer(value, "Mul")
    if node is not None:
        return node.inputs[0] if node.inputs[0] is node.inputs[1] else None
    node = producer(value, "Pow")
    return node.inputs[0] if node is not None and scalar(node.inputs[1]) == 2.0 else None


def _mean(value: ir.Value) -> tuple[ir.Value, tuple[int, ...]] | None:
    """X and the axes of a mean that lines up with x: the averaged axes are there, with size 1."""
    node, shape = value.producer(), dims(value)
    reduced = value
    while (step := producer(reduced, "Reshape", "Unsqueeze", "Expand", "Identity")) is not None:
        if step.inputs[0] is None:
            return None
        reduced = step.inputs[0]
    node = producer(reduced, "ReduceMean")
    source = None if node is None else node.inputs[0]
    if node is None or source is None:
        return None
    axes, whole = integers(optional_input(node, 1)), dims(source)
    if not axes or whole is None or shape is None:
        return None
    positive = tuple(sorted(axis % len(whole) for axis in axes))
    kept = tuple(1 if axis in positive else size for axis, size in enumerate(whole))
    lines_up = shape == kept and None not in shape
    if not lines_up and not (reduced is value and node.attributes.get_int("keepdims", 1) == 1):
        return None
    return source, positive
