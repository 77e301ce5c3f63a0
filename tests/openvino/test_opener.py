"""The policy on a provider that is really another one."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from bundle import (
    ModelInvalid,
    PlacementRefused,
    ProviderPolicy,
    ProviderUnavailable,
    SessionTuning,
    open_model,
)
from bundle.providers import CPU, CUDA, OPENVINO
from tests.bundle.onnx_models import group_norm, identity, model, value

REQUIRED, PREFERRED = ProviderPolicy("openvino"), ProviderPolicy("prefer:openvino")


def dense():
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    weights = {"w": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    return model([node], [value("x", ["batch", 3])], [value("y", ["batch", 4])], weights=weights)


def norm_over_the_first_axis():
    """One that OpenVINO does not know, and that is not rewritten for it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
        helper.make_node("RMSNormalization", ["m", "s"], ["y"], name="norm", axis=1),
    ]
    weights = {"w": np.eye(3, dtype=np.float32), "s": np.ones(3, np.float32)}
    return model(nodes, [value("x", [2, 3])], [value("y", [2, 3])], weights=weights)


X = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)


def test_every_node_runs_there_and_the_answers_are_the_cpus():
    opened = open_model(dense(), policy=REQUIRED)
    assert opened.provider == OPENVINO
    assert opened.placement.counts() == {OPENVINO: 1}
    expected = open_model(dense()).run({"x": X})["y"]
    np.testing.assert_allclose(opened.run({"x": X})["y"], expected, atol=1e-6)


def test_batches_of_every_size_in_one_session():
    opened = open_model(dense(), policy=REQUIRED)
    alone = opened.run({"x": X[:1]})["y"]
    for rows in (1, 2, 7, 64, 3):
        given = np.repeat(X[:1], rows, axis=0)
        np.testing.assert_allclose(
            opened.run({"x": given})["y"], np.repeat(alone, rows, axis=0), atol=1e-6
        )


def test_group_norm_is_opened_in_its_accurate_form():
    weights = {"s": np.ones(8, np.float32), "b": np.zeros(8, np.float32)}
    opened = open_model(group_norm(8, 2, weights), policy=REQUIRED)
    assert opened.lowered == ("gn",)
    x = np.random.default_rng(2).normal(1000.0, 1.0, (1, 8, 4, 4)).astype(np.float32)
    groups = x.astype(np.float64).reshape(1, 2, -1)
    wanted = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(
        groups.var(-1, keepdims=True) + 1e-5
    )
    result = opened.run({"x": x})["y"].reshape(1, 2, -1)
    np.testing.assert_allclose(result, wanted, atol=2e-4)


def test_a_heavy_node_that_it_does_not_take_is_an_error_that_names_it():
    with pytest.raises(PlacementRefused, match=rf"RMSNormalization 'norm' on {CPU}"):
        open_model(norm_over_the_first_axis(), policy=REQUIRED)


def test_where_it_is_preferred_that_node_runs_on_the_cpu_and_the_placement_says_so():
    opened = open_model(norm_over_the_first_axis(), policy=PREFERRED)
    assert opened.provider == OPENVINO
    assert [node.name for node in opened.placement.heavy_elsewhere(OPENVINO)] == ["norm"]
    expected = open_model(norm_over_the_first_axis()).run({"x": X})["y"]
    np.testing.assert_allclose(opened.run({"x": X})["y"], expected, atol=1e-6)


UNKNOWN_PRECISION = SessionTuning(provider_options=((OPENVINO, "precision", "FP16"),))


def test_one_that_does_not_start_is_an_error():
    with pytest.raises(ProviderUnavailable, match="installed but did not start"):
        open_model(dense(), policy=REQUIRED, tuning=UNKNOWN_PRECISION)


def test_one_that_does_not_start_is_passed_over_where_it_is_preferred():
    opened = open_model(dense(), policy=PREFERRED, tuning=UNKNOWN_PRECISION)
    assert opened.provider == CPU
    assert opened.placement.passed_over[0].startswith(OPENVINO)
    expected = open_model(dense()).run({"x": X})["y"]
    np.testing.assert_array_equal(opened.run({"x": X})["y"], expected)


def strange():
    node = helper.make_node("Nope", ["x"], ["y"], domain="strange")
    proto = model([node], [value("x", [1])], [value("y", [1])])
    proto.opset_import.append(helper.make_opsetid("strange", 1))
    return proto


@pytest.mark.parametrize("policy", [REQUIRED, PREFERRED])
def test_a_model_that_nothing_can_run_is_refused(policy):
    with pytest.raises(ModelInvalid, match="Nope"):
        open_model(strange(), policy=policy)


@pytest.mark.parametrize("element", [TensorProto.STRING, TensorProto.INT64, TensorProto.BOOL])
def test_types_that_it_may_not_know_pass_all_the_same(element):
    opened = open_model(identity(element), policy=PREFERRED)
    x = np.array([1, 0]).astype(opened.inputs[0].datatype.numpy)
    if element == TensorProto.STRING:
        x[:] = [b"a", b"b"]
    assert opened.run({"x": x})["y"].tolist() == x.tolist()


def test_cuda_that_this_build_has_not_is_refused():
    with pytest.raises(ProviderUnavailable, match=f"has {OPENVINO}"):
        open_model(dense(), policy=ProviderPolicy.CUDA)
    opened = open_model(dense(), policy=ProviderPolicy("prefer:cuda"))
    assert opened.placement.passed_over == (f"{CUDA}: this ONNX Runtime does not have it",)
