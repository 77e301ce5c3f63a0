"""Write a recognised normalization as the one operator that ONNX has for it.

The scale and bias that follow are folded into it afterwards, like every affine map. Conditional
ones, which are computed from another input, stay a Mul and an Add behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from exporters.graph.journal import Rewrite, Rule
from exporters.graph.moments import Normalized, read_normalized
from exporters.graph.values import (
    add_initializer,
    dims,
    first_input,
    has_single_use,
    is_op,
    optional_input,
    producer,
    remove_node,
    unused_node_name,
)

RMS_NORM_OPSET = 23
"""The opset that brought RMSNormalization."""

_DTYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def fuse_norms(graph: ir.Graph, *, opset: int) -> list[Rewrite]:
    """Replace normalizations that are written out, and repair the scale of RMSNormalization.

    Args:
        graph: Changed in place; its subgraphs are left alone. The nodes that are no longer needed
            stay until unused nodes are removed.
        opset: Below 23 an RMSNorm is written x / sqrt(…), which ONNX Runtime fuses, where
            x * (1 / sqrt(…)) it does not.

    Returns:
        One record for every normalization that became one operator.
    """
    rewrites = []
    for node in list(graph):
        if is_op(node, "RMSNormalization"):
            _repair_scale(graph, node)
        if not is_op(node, "Div", "Mul"):
            continue
        found = read_normalized(node.outputs[0])
        if found is None or found.source.dtype not in _DTYPES:
            continue
        if not found.centred and opset < RMS_NORM_OPSET:
            _write_as_division(graph, node, found)
            continue
        rewrite = _fuse(graph, node, found)
        if rewrite is not None:
            rewrites.append(rewrite)
    return rewrites


@dataclass(frozen=True, slots=True)
class _Form:
    """How a normalization is written.

    Attributes:
        op_type: The operator.
        rule: The name under which the rewrite is recorded.
        axis: The first normalized axis, counted from the end; None for InstanceNormalization.
        parameters: The shape of its scale.
        order: The permutation that brings the normalized axis to the end, None for no Transpose.
    """

    op_type: Literal["InstanceNormalization", "LayerNormalization", "RMSNormalization"]
    rule: Rule
    axis: int | None
    parameters: tuple[int, ...]
    order: tuple[int, ...] | None = None


def _form(found: Normalized, shape: tuple[int | str | None, ...]) -> _Form | None:
    """The operator for the normalized axes, None where there is none or a size is not static."""
    count, axes = len(shape), found.axes
    trailing = axes == tuple(range(count - len(axes), count))
    if found.centred and count > 3 and axes == tuple(range(2, count)):
        channels = shape[1]
        if isinstance(channels, int):
            return _Form("InstanceNormalization", "instance_norm", None, (channels,))
        return None
    sizes = tuple(size for axis in axes if isinstance(size := shape[axis], int))
    if len(sizes) != len(axes) or not (len(axes) == 1 or (trailing and found.centred)):
        return None
    if not found.centred:
        return _Form("RMSNormalization", "rms_norm", -1, sizes) if trailing else None
    if trailing:
        return _Form("LayerNormalization", "layer_norm", -len(axes), sizes)
    order = (*(axis for axis in range(count) if axis != axes[0]), axes[0])
    return _Form("LayerNormalization", "layer_norm", -1, sizes, order)


def _fuse(graph: ir.Graph, node: ir.Node, found: Normalized) -> Rewrite | None:
    source, last = _without_casts(node, found.source)
    shape = dims(source)
    form = None if shape is None else _form(found, shape)
    if form is None or source.dtype is None:
        return None
    name = unused_node_name(graph, last, form.op_type)
    value = last.outputs[0].name or ""
    ones = np.ones(form.parameters, source.dtype.numpy())
    parameters = [add_initializer(graph, ones, name=f"{name}.scale")]
    attributes: dict[str, int | float] = {"epsilon": found.epsilon}
    if form.axis is None:
        parameters.append(add_initializer(graph, ones * 0, name=f"{name}.bias"))
    else:
        attributes |= {"axis": form.axis, "stash_type": int(ir.DataType.FLOAT)}
    data, nodes = source, []
    if form.order is not None:
        nodes.append(_transpose(data, form.order, name=f"{name}_channels_last"))
        data = nodes[-1].outputs[0]
    nodes.append(ir.node(form.op_type, [data, *parameters], attributes, name=name))
    if form.order is not None:
        back = tuple(int(axis) for axis in np.argsort(form.order))
        nodes[-1].outputs[0].shape, nodes[-1].outputs[0].type = data.shape, data.type
        nodes[-1].outputs[0].name = f"{value}.channels_last"
        nodes.append(_transpose(nodes[-1].outputs[0], back, name=f"{name}_channels_first"))
    for each in nodes:
        each.metadata_props.update(last.metadata_props)
    removed = last.name or ""
    graph.insert_before(last, nodes)
    remove_node(last, carrier=nodes[-1].outputs[0])
    return Rewrite(form.rule, removed, value, (name,))


def _without_casts(node: ir.Node, source: ir.Value) -> tuple[ir.Value, ir.Node]:
    """The data and the last node of a norm that a half-precision model computes in float32.

    The operators compute in float32 themselves (stash_type) and return the type they were given.
    """
    output = node.outputs[0]
    before = producer(source, "Cast")
    if before is None or not has_single_use(output):
        return source, node
    behind = next(iter(output.uses())).node
    data = first_input(before)
    half = data.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    returns = is_op(behind, "Cast") and behind.outputs[0].dtype == data.dtype
    return (data, behind) if half and returns else (source, node)


def _transpose(value: ir.Value, order: tuple[int, ...], *, name: str) -> ir.Node:
    node = ir.node("Transpose", [value], {"perm": order}, name=name)
    output = node.outputs[0]
    output.name = f"{value.name}.transposed"
    output.type = value.type
    if value.shape is not None:
        output.shape = ir.Shape([value.shape[axis] for axis in order])
    return node


def _write_as_division(graph: ir.Graph, node: ir.Node, found: Normalized) -> None:
    if is_op(node, "Div") and producer(node.inputs[1], "Sqrt") is not None:
        return
    name = unused_node_name(graph, node, "Div")
    root = ir.node("Sqrt", [found.radicand], name=f"{name}_root")
    root.outputs[0].name = f"{node.outputs[0].name}.root"
    root.outputs[0].shape, root.outputs[0].type = found.radicand.shape, found.radicand.type
    quotient = ir.node(
        "Div",
        [found.source, root.outputs[0]],
        name=name,
        metadata_props=dict(node.metadata_props),
    )
    graph.insert_before(node, [root, quotient])
    remove_node(node, carrier=quotient.outputs[0])


def _repair_scale(graph: ir.Graph, node: ir.Node) -> None:
    """Give an RMSNorm without weight a scale of the size it normalizes.

    PyTorch 2.13 writes it as ones of the input's whole shape, batch included, made at run time.
    """
    scale = optional_input(node, 1)
    fill = producer(scale, "ConstantOfShape")
    shape = dims(first_input(node))
    if fill is None or scale is None or shape is None or scale.dtype is None:
        return
    sizes = shape[node.attributes.get_int("axis", -1) :]
    fixed = tuple(size for size in sizes if isinstance(size, int))
    value = fill.attributes.get_tensor("value", None)
    if len(fixed) != len(sizes) or value is None:
        return
    ones = np.full(fixed, value.numpy().item(), scale.dtype.numpy())
    node.replace_input_with(1, add_initializer(graph, ones, name=f"{node.name}.scale"))
