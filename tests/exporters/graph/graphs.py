"""Graphs in ONNX's own text, before and after the passes, with random weights."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from bundle import open_model
from exporters.graph import optimize

RANDOM = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return RANDOM.normal(size=shape).astype(dtype)


def norm(channels, *, name="", dtype=np.float32, variance=None):
    """The four parameters of a BatchNormalization by name."""
    arrays = {
        "gamma": normal(channels, dtype=dtype),
        "beta": normal(channels, dtype=dtype),
        "mean": normal(channels, dtype=dtype),
        "var": np.abs(normal(channels, dtype=dtype)) + dtype(0.05)
        if variance is None
        else variance,
    }
    return {f"{key}{name}": array for key, array in arrays.items()}


BN = "BatchNormalization {attributes} ({x}, gamma{n}, beta{n}, mean{n}, var{n})"


def bn(x, n="", attributes=""):
    return BN.format(x=x, n=n, attributes=attributes)


class Graph:
    """A graph in ONNX's own text, before and after the passes."""

    def __init__(self, signature, body, *, opset=21, **arrays):
        text = f'<ir_version: 10, opset_import: ["" : {opset}]> g {signature} {{ {body} }}'
        proto = onnx.parser.parse_model(text)
        for name, array in arrays.items():
            proto.graph.initializer.append(numpy_helper.from_array(array, name))
        for number, node in enumerate(proto.graph.node):
            node.name = f"{node.op_type}_{number}"
        onnx.checker.check_model(proto, full_check=True)
        self.before = proto
        model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
        self.rewrites = optimize(model)
        self.after = ir.to_proto(model)
        self.model = model
        onnx.checker.check_model(self.after, full_check=True)

    @property
    def ops(self):
        return Counter(node.op_type for node in self.model.graph.all_nodes())

    def assert_same(self, *, atol=1e-4, **feeds):
        before, after = (open_model(each, optimize=False) for each in (self.before, self.after))
        assert [each.name for each in after.outputs] == [each.name for each in before.outputs]
        expected, actual = before.run(feeds), after.run(feeds)
        for name, array in expected.items():
            scale = max(1.0, np.abs(array.astype(np.float64)).max())
            np.testing.assert_allclose(actual[name], array, rtol=0, atol=atol * scale, err_msg=name)
