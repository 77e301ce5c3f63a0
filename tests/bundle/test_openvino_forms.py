"""What is rewritten for OpenVINO gives what ONNX Runtime's own kernels give."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bundle import open_model
from bundle.openvino_forms import rewrite_for_openvino
from tests.bundle.onnx_models import identity, model, value

RANDOM = np.random.default_rng(0)


def rms_norm(element=TensorProto.FLOAT, **attributes):
    node = helper.make_node("RMSNormalization", ["x", "s"], ["y"], name="norm", **attributes)
    kind = helper.tensor_dtype_to_np_dtype(element)
    scale = RANDOM.normal(size=(3, 8)[{-2: 0}.get(attributes.get("axis"), 1) :]).astype(kind)
    shape = ["batch", 3, 8]
    return model(
        [node], [value("x", shape, element)], [value("y", shape, element)], weights={"s": scale}
    )


def attention(**attributes):
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], name="attention", **attributes)
    shape = ["batch", 2, "length", 4]
    return model([node], [value(n, shape) for n in "qkv"], [value("y", shape)])


def op_types(proto):
    return {node.op_type for node in proto.graph.node}


@pytest.mark.parametrize(
    ("element", "attributes", "atol"),
    [
        (TensorProto.FLOAT, {}, 1e-6),
        (TensorProto.FLOAT, {"epsilon": 0.5}, 1e-6),
        (TensorProto.FLOAT, {"axis": -2}, 1e-6),
    ],
)
def test_rms_norm_is_its_formula(element, attributes, atol):
    proto = rms_norm(element, **attributes)
    rewritten, names = rewrite_for_openvino(proto)
    assert names == ("norm",)
    assert "RMSNormalization" not in op_types(rewritten)
    onnx.checker.check_model(rewritten, full_check=True)
    x = RANDOM.normal(size=(2, 3, 8)).astype(np.float32)
    np.testing.assert_allclose(
        open_model(rewritten).run({"x": x})["y"], open_model(proto).run({"x": x})["y"], atol=atol
    )


@pytest.mark.parametrize("attributes", [{}, {"is_causal": 1}, {"scale": 0.25}])
def test_attention_is_what_onnx_defines_it_as(attributes):
    proto = attention(**attributes)
    rewritten, names = rewrite_for_openvino(proto)
    assert names == ("attention",)
    assert "Attention" not in op_types(rewritten)
    q, k, v = RANDOM.normal(size=(3, 2, 2, 5, 4)).astype(np.float32)
    feeds = {"q": q, "k": k, "v": v}
    np.testing.assert_allclose(
        open_model(rewritten).run(feeds)["y"], open_model(proto).run(feeds)["y"], atol=1e-6
    )


def test_the_model_that_was_given_is_not_changed():
    for proto in (rms_norm(), attention()):
        before = proto.SerializeToString()
        rewrite_for_openvino(proto)
        assert proto.SerializeToString() == before


def test_a_model_with_neither_is_the_same():
    proto = identity()
    rewritten, names = rewrite_for_openvino(proto)
    assert rewritten is proto
    assert names == ()


def test_axes_that_are_counted_from_the_first_are_left_as_they_are():
    assert rewrite_for_openvino(rms_norm(axis=2))[1] == ()
