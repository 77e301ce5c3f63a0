"""Whatever the nodes are and however they are wired, the numbers stay."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundle import open_model
from exporters.graph import optimize


class Builder:
    """Grows a random graph of affine maps and of what may absorb or carry them.

    Values are kept with their shapes: (batch, channels, 6, 6), (batch, tokens, features) or
    (batch, features); "batch" is dynamic.
    """

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []
        self.values = [("x", (None, 4, 6, 6))]
        self.outputs = []

    def constant(self, *shape, positive=False):
        array = self.random.normal(size=shape).astype(np.float32)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.abs(array) if positive else array, name))
        return name

    def add(self, op_type, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        node = helper.make_node(op_type, inputs, [name], name=f"{op_type}_{name}", **attributes)
        self.nodes.append(node)
        self.values.append((name, shape))
        return name, shape

    def step(self):
        # Mostly the newest value, so that chains grow; else an older one, which is then shared.
        recent = self.random.random() < 0.85
        name, shape = self.values[-1 if recent else self.random.integers(len(self.values))]
        makers = {4: self.images, 3: self.tokens, 2: self.features}
        options = [*makers[len(shape)](name, shape), *self.anything(name, shape)]
        options[self.random.integers(len(options))]()

    def anything(self, name, shape):
        channels = shape[1]
        tail = [1] * (len(shape) - 2)
        return [
            lambda: self.batch_norm(name, shape),
            lambda: self.batch_norm(name, shape),
            lambda: self.add("Mul", [name, self.constant(channels, *tail)], shape),
            lambda: self.add("Add", [self.constant(1, channels, *tail), name], shape),
            lambda: self.add("Sub", [name, self.constant(channels, *tail)], shape),
            lambda: self.add("Mul", [name, self.constant(shape[-1])], shape),
            lambda: self.add("Add", [name, self.constant(shape[-1])], shape),
            lambda: self.add("Relu", [name], shape),
            lambda: self.outputs.append((name, shape)),
            lambda: self.add("Add", [name, name], shape),
        ]

    def batch_norm(self, name, shape):
        channels = shape[1]
        scale, bias, mean = (self.constant(channels) for _ in range(3))
        variance = self.constant(channels, positive=True)
        return self.add("BatchNormalization", [name, scale, bias, mean, variance], shape)

    def images(self, name, shape):
        batch, channels, height, width = shape
        flat = channels * height * width

        def conv():
            group = 2 if channels % 2 == 0 and self.random.random() < 0.4 else 1
            out = 2 * int(self.random.integers(1, 4))
            pad = int(self.random.integers(0, 2)) if min(height, width) > 2 else 1
            weight = self.constant(out, channels // group, 3, 3)
            sizes = (batch, out, height + 2 * pad - 2, width + 2 * pad - 2)
            inputs = [name, weight, *([self.constant(out)] if self.random.random() < 0.5 else [])]
            return self.add("Conv", inputs, sizes, pads=[pad] * 4, group=group)

        def conv_transpose():
            group = 2 if channels % 2 == 0 else 1
            weight = self.constant(channels, 2, 2, 2)
            sizes = (batch, 2 * group, 2 * height, 2 * width)
            return self.add("ConvTranspose", [name, weight], sizes, strides=[2, 2], group=group)

        def reflect():
            pads = self.integers(0, 0, 1, 1, 0, 0, 0, 1)
            mode = ["reflect", "edge"][self.random.integers(2)]
            sizes = (batch, channels, height + 1, width + 2)
            return self.add("Pad", [name, pads], sizes, mode=mode)

        def concat():
            normed = self.random.random() < 0.7
            other, _ = self.batch_norm(name, shape) if normed else self.add("Relu", [name], shape)
            first, _ = conv_same(name) if self.random.random() < 0.5 else (name, shape)
            sizes = (batch, 2 * channels, height, width)
            return self.add("Concat", [first, other], sizes, axis=1)

        def conv_same(value):
            return self.add("Conv", [value, self.constant(channels, channels, 1, 1)], shape)

        return [
            conv,
            conv,
            conv_transpose if height < 12 else conv,
            reflect if min(height, width) > 1 else conv,
            concat if channels < 16 else conv,
            lambda: self.add(
                "Transpose", [name], (batch, channels, width, height), perm=[0, 1, 3, 2]
            ),
            lambda: self.add("Flatten", [name], (batch, flat)),
            lambda: self.add("GlobalAveragePool", [name], (batch, channels, 1, 1)),
            lambda: self.add(
                "Reshape",
                [name, self.integers(0, channels, height * width)],
                (batch, channels, height * width),
            ),
            lambda: self.add(
                "InstanceNormalization",
                [name, self.constant(channels), self.constant(channels)],
                shape,
            ),
        ]

    def tokens(self, name, shape):
        batch, tokens, features = shape
        out = int(self.random.integers(2, 6))
        return [
            lambda: self.add("MatMul", [name, self.constant(features, out)], (batch, tokens, out)),
            lambda: self.add("MatMul", [name, self.constant(features, out)], (batch, tokens, out)),
            lambda: self.add("Transpose", [name], (batch, features, tokens), perm=[0, 2, 1]),
            lambda: self.add("LayerNormalization", [name, self.constant(features)], shape, axis=-1),
            lambda: self.add(
                "Reshape", [name, self.integers(0, tokens * features)], (batch, tokens * features)
            ),
        ]

    def features(self, name, shape):
        batch, features = shape
        out = int(self.random.integers(2, 7))
        transposed = bool(self.random.integers(2))
        weight = (out, features) if transposed else (features, out)
        return [
            lambda: self.add(
                "Gemm",
                [name, self.constant(*weight), self.constant(out)],
                (batch, out),
                transB=int(transposed),
                alpha=0.5,
                beta=2.0,
            ),
            lambda: self.add("MatMul", [name, self.constant(features, out)], (batch, out)),
            lambda: self.add(
                "Reshape", [name, self.integers(0, features, 1)], (batch, features, 1)
            ),
        ]

    def integers(self, *numbers):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def build(self):
        self.outputs.append(self.values[-1])
        outputs = {name: shape for name, shape in self.outputs if name != "x"}
        if not outputs:
            name, shape = self.add("Relu", ["x"], (None, 4, 6, 6))
            outputs[name] = shape
        graph = helper.make_graph(
            self.nodes,
            "random",
            [_info("x", (None, 4, 6, 6))],
            [_info(name, shape) for name, shape in outputs.items()],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _info(name, shape):
    sizes = ["batch" if size is None else size for size in shape]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)


@pytest.mark.parametrize("seed", range(150))
def test_a_random_graph_computes_the_same_after_the_passes(seed):
    builder = Builder(seed)
    for _ in range(int(builder.random.integers(3, 14))):
        builder.step()
    proto = builder.build()
    onnx.checker.check_model(proto, full_check=True)
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    optimize(model)
    optimized = ir.to_proto(model)
    onnx.checker.check_model(optimized, full_check=True)
    before, after = (open_model(each, optimize=False) for each in (proto, optimized))
    assert [output.name for output in after.outputs] == [output.name for output in before.outputs]
    for batch in (1, 3):
        x = np.random.default_rng(seed).normal(size=(batch, 4, 6, 6)).astype(np.float32)
        expected, actual = before.run({"x": x}), after.run({"x": x})
        for name, array in expected.items():
            assert actual[name].shape == array.shape
            scale = np.abs(array).max()
            np.testing.assert_allclose(actual[name], array, rtol=0, atol=2e-4 * scale, err_msg=name)
