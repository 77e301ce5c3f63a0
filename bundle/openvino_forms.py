"""Operators that OpenVINO cannot read, as operators that it can. Decides not when they are used.

OpenVINO takes whatever ONNX Runtime offers it by an operator's name and then fails on what it
does not know (onnxruntime-openvino 1.24.1: Attention of opset 23), or leaves the node to the CPU
(RMSNormalization). Seen through, both run on it.
"""

from collections.abc import Callable
from typing import Any

import onnx
from onnx import helper, inliner

__all__ = ["rewrite_for_openvino"]

_ATTENTION, _RMS_NORM = "Attention", "RMSNormalization"
_EPSILON = 1e-5  # of the operator, where the node has none


def rewrite_for_openvino(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Attention as ONNX defines it, RMSNormalization as its formula.

    Returns:
        Another model, or the same where there is neither; and the names of the nodes that were
        replaced.
    """
    names = tuple(
        node.name or node.output[0]
        for node in model.graph.node
        if _is(node, _ATTENTION) or _has_formula(node)
    )
    if not names:
        return model, ()
    if any(_is(node, _ATTENTION) for node in model.graph.node):
        model = inliner.inline_selected_functions(
            model, [("", _ATTENTION)], inline_schema_functions=True
        )
    else:
        original, model = model, onnx.ModelProto()
        model.CopyFrom(original)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.extend(_formula(node) if _has_formula(node) else [node])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model, names


def _formula(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """X / sqrt(mean(x²) + ε) · scale, in float32 (Zhang & Sennrich 2019, 1910.07467)."""
    x, scale = node.input
    prefix = f"{node.name or node.output[0]}/formula"
    made: list[onnx.NodeProto] = []

    def add(op_type: str, *inputs: str, **attributes: Any) -> str:
        output = f"{prefix}/{len(made)}"
        made.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    wide = add("Cast", x, to=onnx.TensorProto.FLOAT)
    axes = _constant(add, helper.make_tensor("", onnx.TensorProto.INT64, *_axes(node)))
    epsilon = _constant(add, helper.make_tensor("", onnx.TensorProto.FLOAT, [], [_epsilon(node)]))
    mean = add("ReduceMean", add("Mul", wide, wide), axes)
    normal = add("Div", wide, add("Sqrt", add("Add", mean, epsilon)))
    add("Mul", add("CastLike", normal, scale), scale)
    made[-1].output[0] = node.output[0]
    return made


def _constant(add: Callable[..., str], value: onnx.TensorProto) -> str:
    return add("Constant", value=value)


def _is(node: onnx.NodeProto, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in ("", "ai.onnx")


def _has_formula(node: onnx.NodeProto) -> bool:
    """Whether a node is an RMSNormalization over axes that are counted from the last."""
    return _is(node, _RMS_NORM) and _axis(node) < 0


def _axis(node: onnx.NodeProto) -> int:
    return next((int(a.i) for a in node.attribute if a.name == "axis"), -1)


def _axes(node: onnx.NodeProto) -> tuple[list[int], list[int]]:
    axes = list(range(_axis(node), 0))
    return [len(axes)], axes


def _epsilon(node: onnx.NodeProto) -> float:
    return next((float(a.f) for a in node.attribute if a.name == "epsilon"), _EPSILON)
