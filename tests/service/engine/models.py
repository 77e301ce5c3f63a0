"""Tiny models for engines: one that adds, one that never ends, one that eats memory, and such."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from bundle import Datatype
from tests.service import tiny


def adding() -> onnx.ModelProto:
    """y = x + 1."""
    return tiny.build(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        {"x": (Datatype.FP32, ("rows", 3))},
        {"y": (Datatype.FP32, ("rows", 3))},
        {"one": np.array([1.0], np.float32)},
    )


def counting() -> onnx.ModelProto:
    """y = x + n, one after the other: takes as long as n is large."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Add", ["sum", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["rows"]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["rows"]),
        ],
    )
    return tiny.build(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
        {"n": (Datatype.INT64, ()), "x": (Datatype.FP32, ("rows",))},
        {"y": (Datatype.FP32, ("rows",))},
        {"one": np.array([1.0], np.float32)},
    )


def endless() -> onnx.ModelProto:
    """y = x, after more rounds than anybody waits for; its tensors are those of `tiny.scale`."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Add", ["state", "zero"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["rows", 2]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["rows", 2]),
        ],
    )
    return tiny.build(
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], body=body)],
        {"x": (Datatype.FP32, ("rows", 2))},
        {"y": (Datatype.FP32, ("rows", 2))},
        {"rounds": np.array(2**62), "zero": np.array([0.0], np.float32)},
    )


def greedy(channels: int) -> onnx.ModelProto:
    """y, a number a row; takes so many numbers for each of a row's three on the way there."""
    weights = np.ones((channels, 1, 1), np.float32)
    return tiny.build(
        [
            helper.make_node("Unsqueeze", ["x", "one"], ["wide"]),
            helper.make_node("Conv", ["wide", "weights"], ["some"]),
            helper.make_node("Softmax", ["some"], ["more"], axis=1),
            helper.make_node("ReduceSum", ["more", "axes"], ["y"], keepdims=0),
        ],
        {"x": (Datatype.FP32, ("rows", 3))},
        {"y": (Datatype.FP32, ("rows",))},
        {
            "one": np.array([1], np.int64),
            "axes": np.array([1, 2], np.int64),
            "weights": weights,
        },
    )


def repeating(times: int) -> onnx.ModelProto:
    """Each number of x, so many times."""
    return tiny.build(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        {"x": (Datatype.FP32, ("rows", 1))},
        {"y": (Datatype.FP32, ("rows", times))},
        {"shape": np.array([1, times], np.int64)},
    )


def wide(tensors: int) -> onnx.ModelProto:
    """Each y is its x."""
    return tiny.build(
        [helper.make_node("Identity", [f"x{n}"], [f"y{n}"]) for n in range(tensors)],
        {f"x{n}": (Datatype.FP32, ("rows",)) for n in range(tensors)},
        {f"y{n}": (Datatype.FP32, ("rows",)) for n in range(tensors)},
    )


def bomb(elements: int) -> onnx.ModelProto:
    """Some bytes that ask for as many elements when they are opened, by folding a constant."""
    return tiny.build(
        [
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
            helper.make_node("Add", ["x", "zero"], ["y"]),
        ],
        {"x": (Datatype.FP32, ("rows",))},
        {"y": (Datatype.FP32, ("rows",))},
        {"size": np.array([elements], np.int64)},
    )
