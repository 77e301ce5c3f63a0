"""Models written as text, in ONNX's own syntax."""

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper


def parse(text, *, opset=23, weights=None, functions=""):
    """A model of ``graph(inputs) => (outputs) {nodes}``; weights are put in by name."""
    header = f'<ir_version: 11, opset_import: ["": {opset}, "com.microsoft": 1, "local": 1]>'
    model = onnx.parser.parse_model(f"{header}\ngraph {text}\n{functions}")
    for name, array in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def normal(*shape, seed=0, dtype=np.float32):
    """A weight."""
    values = np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])
    return values.astype(dtype)
