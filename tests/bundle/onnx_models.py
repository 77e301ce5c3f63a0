"""Tiny ONNX models, made in code."""

import onnx
from onnx import TensorProto, helper, numpy_helper


def value(name, shape, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, shape)


def model(nodes, inputs, outputs, *, weights=None, opset=23):
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs,
        outputs,
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=11)


def identity(element=TensorProto.FLOAT, shape=("n",)):
    node = helper.make_node("Identity", ["x"], ["y"])
    return model([node], [value("x", shape, element)], [value("y", shape, element)])


def group_norm(
    channels, groups, weights, *, opset=23, element=TensorProto.FLOAT, shape=None, **attributes
):
    node = helper.make_node(
        "GroupNormalization", ["x", "s", "b"], ["y"], name="gn", num_groups=groups, **attributes
    )
    shape = shape or ["batch", channels, "height", "width"]
    return model(
        [node],
        [value("x", shape, element)],
        [value("y", shape, element)],
        weights=weights,
        opset=opset,
    )


def save(proto, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(proto, path)
    return path
