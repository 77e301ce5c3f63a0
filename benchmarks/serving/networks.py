"""The networks that are served in the benchmark: the shapes of well-known ones, random weights.

What they answer means nothing; what they cost is what such networks cost. Every axis 0 is a dynamic
batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["NETWORKS", "Network", "sized"]


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the benchmark.

    Attributes:
        meaning: what it stands for.
        build: makes it.
        row: an input of one row.
    """

    meaning: str
    build: Callable[[], onnx.ModelProto]
    row: Callable[[np.random.Generator], np.ndarray]


@dataclass(slots=True)
class _Graph:
    """Nodes and weights, as they come."""

    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        """A node; its output's name."""
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """A weight; its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int) -> str:
        """A random weight that keeps the scale of what it is multiplied with."""
        scale = np.sqrt(2.0 / max(np.prod(shape[1:]), 1))
        return self.constant((self.generator.normal(size=shape) * scale).astype(np.float32))

    def linear(self, x: str, width: int, into: int) -> str:
        """X @ W + b, over the last axis."""
        weight = self.constant(
            (self.generator.normal(size=(width, into)) / np.sqrt(width)).astype(np.float32)
        )
        return self.add("Add", self.add("MatMul", x, weight), self.weight(into))

    def conv(self, x: str, channels: int, into: int, *, kernel: int, stride: int = 1) -> str:
        """A convolution with the bias that a folded BatchNorm leaves."""
        pad = kernel // 2
        return self.add(
            "Conv",
            x,
            self.weight(into, channels, kernel, kernel),
            self.weight(into),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad, pad, pad, pad],
        )

    def model(
        self, output: str, *, row: tuple[int, ...], answer: int, kind: int
    ) -> onnx.ModelProto:
        """The model; ``row`` and ``answer`` are the shapes of a row."""
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", kind, ["batch", *row])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", answer])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _mlp(*, width: int = 32, layers: int = 1) -> onnx.ModelProto:
    graph = _Graph()
    x = graph.add("Relu", graph.linear("x", 16, width))
    for _ in range(layers - 1):
        x = graph.add("Relu", graph.linear(x, width, width))
    return graph.model(graph.linear(x, width, 4), row=(16,), answer=4, kind=TensorProto.FLOAT)


def _resnet(*, size: int, width: int, blocks: tuple[int, ...], bottleneck: bool) -> onnx.ModelProto:
    """He et al. 2016, with its BatchNorms folded."""
    graph = _Graph()
    large = size >= 128
    x = graph.conv("x", 3, width, kernel=7 if large else 3, stride=2 if large else 1)
    x = graph.add("Relu", x)
    if large:
        x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        into = inner * (4 if bottleneck else 1)
        for block in range(count):
            stride = 2 if stage and not block else 1
            y = graph.add(
                "Relu",
                graph.conv(
                    x,
                    channels,
                    inner,
                    kernel=1 if bottleneck else 3,
                    stride=1 if bottleneck else stride,
                ),
            )
            y = graph.conv(y, inner, inner, kernel=3, stride=stride if bottleneck else 1)
            if bottleneck:
                y = graph.conv(graph.add("Relu", y), inner, into, kernel=1)
            if channels != into or stride != 1:
                x = graph.conv(x, channels, into, kernel=1, stride=stride)
            x = graph.add("Relu", graph.add("Add", x, y))
            channels = into
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    answer = 1000 if large else 10
    return graph.model(
        graph.linear(pooled, channels, answer),
        row=(3, size, size),
        answer=answer,
        kind=TensorProto.FLOAT,
    )


def _bert(*, length: int, width: int, layers: int, heads: int, vocabulary: int) -> onnx.ModelProto:
    """Devlin et al. 2019: pre-trained encoders have this shape."""
    graph = _Graph()
    table = graph.constant(graph.generator.normal(size=(vocabulary, width)).astype(np.float32))
    split = graph.constant(np.array([0, length, heads, width // heads], np.int64))
    joined = graph.constant(np.array([0, length, width], np.int64))
    scale = graph.constant(np.array(1 / np.sqrt(width // heads), np.float32))
    ones = graph.constant(np.ones(width, np.float32))
    zeros = graph.constant(np.zeros(width, np.float32))

    def head(x: str, perm: list[int]) -> str:
        flat = graph.add("Reshape", graph.linear(x, width, width), split)
        return graph.add("Transpose", flat, perm=perm)

    x = graph.add("Gather", table, "x")
    for _ in range(layers):
        query, key, value = (head(x, p) for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = graph.add("Mul", graph.add("MatMul", query, key), scale)
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
        mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        x = graph.add("Add", x, graph.linear(mixed, width, width))
        x = graph.add("LayerNormalization", x, ones, zeros)
        inner = graph.add("Gelu", graph.linear(x, width, 4 * width))
        x = graph.add("Add", x, graph.linear(inner, 4 * width, width))
        x = graph.add("LayerNormalization", x, ones, zeros)
    pooled = graph.add("ReduceMean", x, graph.constant(np.array([1], np.int64)), keepdims=0)
    return graph.model(
        graph.linear(pooled, width, 2), row=(length,), answer=2, kind=TensorProto.INT64
    )


def _image(size: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda generator: generator.random((1, 3, size, size), dtype=np.float32)


def _numbers(generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=(1, 16)).astype(np.float32)


def sized(parameters: int) -> Network:
    """A network of three layers with about so many parameters."""
    width = round(float(np.sqrt(parameters)))
    return Network(
        f"three layers, {parameters:,} parameters", lambda: _mlp(width=width, layers=2), _numbers
    )


NETWORKS: Final = {
    "mlp": Network("two layers, microseconds", _mlp, _numbers),
    "resnet": Network(
        "a ResNet-18 of half the width at 3×64×64, some milliseconds",
        lambda: _resnet(size=64, width=24, blocks=(2, 2, 2, 2), bottleneck=False),
        _image(64),
    ),
    "bert": Network(
        "four encoder layers of width 256 over 32 tokens",
        lambda: _bert(length=32, width=256, layers=4, heads=4, vocabulary=2000),
        lambda generator: generator.integers(0, 2000, size=(1, 32)),
    ),
    "resnet50": Network(
        "ResNet-50 at 3×224×224: 602 KB a request",
        lambda: _resnet(size=224, width=64, blocks=(3, 4, 6, 3), bottleneck=True),
        _image(224),
    ),
}
"""By name."""
