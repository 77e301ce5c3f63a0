from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bundle import lower_normalizations, moment_form, open_model
from bundle.lowering import GROUP_NORM, INSTANCE_NORM
from tests.bundle.onnx_models import group_norm, model, value


def definition(x, groups, scale, shift, epsilon=1e-5):
    """Wu & He 2018, in float64: scale and shift for each channel."""
    wide = x.astype(np.float64).reshape(x.shape[0], groups, -1)
    normalized = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(
        wide.var(-1, keepdims=True) + epsilon
    )
    column = (1, -1) + (1,) * (x.ndim - 2)
    return normalized.reshape(x.shape) * scale.reshape(column) + shift.reshape(column)


def parameters(channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=channels).astype(np.float32), rng.normal(size=channels).astype(
        np.float32
    )


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("opset", [21, 23])
def test_lowered_group_norm_is_group_norm(opset, groups, optimize):
    scale, shift = parameters(8)
    opened = open_model(
        group_norm(8, groups, {"s": scale, "b": shift}, opset=opset), optimize=optimize
    )
    assert opened.lowered == ("gn",)
    for batch, height, width in ((1, 4, 4), (3, 5, 7)):
        x = np.random.default_rng(1).normal(size=(batch, 8, height, width)).astype(np.float32)
        np.testing.assert_allclose(
            opened.run({"x": x})["y"], definition(x, groups, scale, shift), atol=2e-5
        )


def test_below_opset_21_scale_and_shift_are_for_each_group():
    scale, shift = parameters(2)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}, opset=18))
    x = np.random.default_rng(1).normal(size=(2, 8, 3, 3)).astype(np.float32)
    wanted = definition(x, 2, np.repeat(scale, 4), np.repeat(shift, 4))
    np.testing.assert_allclose(opened.run({"x": x})["y"], wanted, atol=2e-5)


@pytest.mark.parametrize(("mean", "limit"), [(100.0, 1e-3), (1000.0, 1e-2)])
def test_a_mean_far_from_zero_costs_no_accuracy(mean, limit):
    scale, shift = np.ones(8, np.float32), np.zeros(8, np.float32)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}))
    x = (np.random.default_rng(1).normal(size=(2, 8, 16, 16)) + mean).astype(np.float32)
    error = np.abs(opened.run({"x": x})["y"] - definition(x, 2, scale, shift)).max()
    assert error < limit


@pytest.mark.parametrize("constant", [0.0, 13.7, 1000.1, -55.5])
def test_constant_inputs_stay_finite(constant):
    scale, shift = parameters(8)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}))
    result = opened.run({"x": np.full((2, 8, 5, 5), constant, np.float32)})["y"]
    assert np.isfinite(result).all()


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_precisions_keep_their_type_and_compute_in_float32(element):
    dtype = helper.tensor_dtype_to_np_dtype(element)
    scale, shift = (p.astype(dtype) for p in parameters(8))
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}, element=element))
    x = (np.random.default_rng(1).normal(size=(2, 8, 5, 5)) * 100).astype(dtype)
    result = opened.run({"x": x})["y"]
    assert result.dtype == dtype
    wanted = definition(x, 2, scale.astype(np.float64), shift.astype(np.float64))
    np.testing.assert_allclose(result, wanted, atol=5e-3)


def test_the_epsilon_of_the_node_is_kept():
    scale, shift = np.ones(4, np.float32), np.zeros(4, np.float32)
    opened = open_model(group_norm(4, 2, {"s": scale, "b": shift}, epsilon=10.0))
    x = np.random.default_rng(1).normal(size=(1, 4, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(
        opened.run({"x": x})["y"], definition(x, 2, scale, shift, epsilon=10.0), atol=1e-6
    )


def test_scale_and_shift_that_are_computed_are_lowered_too():
    nodes = [
        helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2),
    ]
    proto = model(
        nodes,
        [value("x", ["n", 4, "l"]), value("s", [4]), value("b", [4])],
        [value("y", ["n", 4, "l"])],
    )
    scale, shift = parameters(4)
    x = np.random.default_rng(1).normal(size=(2, 4, 6)).astype(np.float32)
    result = open_model(proto).run({"x": x, "s": scale, "b": shift})["y"]
    np.testing.assert_allclose(result, definition(x, 2, scale, shift), atol=1e-5)


def test_a_rank_that_the_file_does_not_tell_is_found_while_it_runs():
    scale, shift = parameters(4)
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["folded"]),
        helper.make_node("GroupNormalization", ["folded", "s", "b"], ["y"], num_groups=2),
    ]
    proto = model(
        nodes,
        [value("x", ["all"]), value("shape", ["rank"], TensorProto.INT64)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights={"s": scale, "b": shift},
    )
    opened = open_model(proto)
    assert len(opened.lowered) == 1
    for shape in ((2, 4, 6), (2, 4, 3, 2), (1, 4, 2, 3, 2)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        result = opened.run({"x": x.reshape(-1), "shape": np.int64(shape)})["y"]
        np.testing.assert_allclose(result, definition(x, 2, scale, shift), atol=1e-5)


def test_a_group_norm_inside_a_branch_is_lowered():
    scale, shift = parameters(4)
    inner = helper.make_node("GroupNormalization", ["x", "s", "b"], ["z"], num_groups=2)
    other = helper.make_node("Identity", ["x"], ["w"])
    shape = ["n", 4, "l"]
    choice = helper.make_node(
        "If",
        ["c"],
        ["y"],
        then_branch=helper.make_graph([inner], "then", [], [value("z", shape)]),
        else_branch=helper.make_graph([other], "else", [], [value("w", shape)]),
    )
    proto = model(
        [choice],
        [value("c", [], TensorProto.BOOL), value("x", shape)],
        [value("y", shape)],
        weights={"s": scale, "b": shift},
    )
    opened = open_model(proto)
    assert opened.lowered == ("z",)
    x = np.random.default_rng(1).normal(size=(2, 4, 6)).astype(np.float32)
    result = opened.run({"c": np.array(True), "x": x})["y"]
    np.testing.assert_allclose(result, definition(x, 2, scale, shift), atol=1e-5)


def test_one_group_norm_after_the_other_is_lowered_without_any_declared_shape():
    scale, shift = parameters(4)
    nodes = [
        helper.make_node("Relu", ["x"], ["h0"]),
        helper.make_node("GroupNormalization", ["h0", "s", "b"], ["h1"], num_groups=2),
        helper.make_node("Relu", ["h1"], ["h2"]),
        helper.make_node("GroupNormalization", ["h2", "s", "b"], ["h3"], num_groups=2),
        helper.make_node("GroupNormalization", ["h3", "s", "b"], ["y"], num_groups=4),
    ]
    shape = ["n", 4, "l"]
    proto = model(nodes, [value("x", shape)], [value("y", shape)], weights={"s": scale, "b": shift})
    opened = open_model(proto)
    assert opened.lowered == ("h1", "h3", "y")
    x = np.random.default_rng(1).normal(size=(2, 4, 6)).astype(np.float32)
    first = np.maximum(definition(np.maximum(x, 0), 2, scale, shift), 0)
    wanted = definition(definition(first, 2, scale, shift), 4, scale, shift)
    np.testing.assert_allclose(opened.run({"x": x})["y"], wanted, atol=2e-5)


def behind_a_relu(*shape):
    """All of one sign: the rounding errors of one running sum do not cancel."""
    return np.maximum(np.random.default_rng(1).normal(size=shape), 0).astype(np.float32)


def ulps(result, wanted):
    return np.abs(result - wanted).max() / (np.abs(wanted).max() * np.finfo(np.float32).eps)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("opset", [18, 23])
def test_a_group_of_many_elements_costs_no_accuracy(opset, optimize):
    scale, shift = parameters(8 if opset >= 21 else 2)
    x = behind_a_relu(2, 8, 128, 96)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}, opset=opset), optimize=optimize)
    each = 1 if opset >= 21 else 4
    wanted = definition(x, 2, np.repeat(scale, each), np.repeat(shift, each))
    assert ulps(opened.run({"x": x})["y"], wanted) < 8


def instance_norm(shape, weights, **options):
    node = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"], name="in")
    return model([node], [value("x", shape)], [value("y", shape)], weights=weights, **options)


@pytest.mark.parametrize("shape", [["n", 4, 256, 128], ["n", 4, "h", "w"], ["n", 4, 32768]])
def test_an_instance_of_many_elements_costs_no_accuracy(shape):
    scale, shift = parameters(4)
    x = behind_a_relu(2, 4, *((256, 128) if len(shape) == 4 else (32768,)))
    opened = open_model(instance_norm(shape, {"s": scale, "b": shift}))
    assert opened.lowered == ("in",)
    assert ulps(opened.run({"x": x})["y"], definition(x, 4, scale, shift)) < 8


@pytest.mark.parametrize("shape", [["n", 4, 32, 32], ["n", 4, "length"], ["n", 4, 32771]])
def test_an_instance_norm_stays_where_nothing_is_more_accurate(shape):
    scale, shift = parameters(4)
    assert open_model(instance_norm(shape, {"s": scale, "b": shift})).lowered == ()


def test_an_instance_norm_of_an_older_opset_stays():
    scale, shift = parameters(4)
    proto = instance_norm(["n", 4, "h", "w"], {"s": scale, "b": shift}, opset=17)
    assert open_model(proto).lowered == ()


def test_large_groups_of_no_rows_give_no_rows():
    scale, shift = parameters(4)
    opened = open_model(instance_norm(["n", 4, 256, 128], {"s": scale, "b": shift}))
    assert opened.run({"x": np.zeros((0, 4, 256, 128), np.float32)})["y"].shape == (0, 4, 256, 128)


FORMS = {"one kernel": True, "means of means": False}


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def each_form(request, monkeypatch):
    """With the runtime's kernel for the moments of rows, and without."""
    monkeypatch.setattr(moment_form, "gives_moments", lambda: request.param)


@pytest.mark.usefixtures("each_form")
@pytest.mark.parametrize("elements", [(64, 33), (96, 80), (256, 256)])
@pytest.mark.parametrize("mean", [0.0, 100.0, 1000.0])
def test_many_elements_far_from_zero_cost_no_more_than_their_own_rounding(mean, elements):
    scale, shift = parameters(8)
    x = (np.random.default_rng(1).normal(size=(2, 8, *elements)) + mean).astype(np.float32)
    wanted = definition(x, 2, scale, shift)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}, shape=["n", 8, *elements]))
    assert opened.lowered == ("gn",)
    assert ulps(opened.run({"x": x})["y"], wanted) < 4 + mean  # what rounding the mean costs


@pytest.mark.usefixtures("each_form")
@pytest.mark.parametrize("batch", ["n", 3])
def test_runs_at_the_same_time_do_not_share_what_they_compute(batch):
    scale, shift = parameters(8)
    opened = open_model(group_norm(8, 4, {"s": scale, "b": shift}, shape=[batch, 8, 64, 64]))
    inputs = [
        (np.random.default_rng(i).normal(size=(3, 8, 64, 64)) * 10**i + i).astype(np.float32)
        for i in range(4)
    ]
    wanted = [opened.run({"x": x})["y"] for x in inputs]
    for x, result in zip(inputs, wanted, strict=True):
        np.testing.assert_allclose(result, definition(x, 4, scale, shift), atol=2e-5)
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda x: opened.run({"x": x})["y"], inputs * 25))
    for place, result in enumerate(again):
        assert np.array_equal(result, wanted[place % 4])


@pytest.mark.usefixtures("each_form")
@pytest.mark.parametrize("constant", [0.0, 13.7, -55.5])
def test_large_constant_groups_stay_finite(constant):
    scale, shift = parameters(8)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}, shape=["n", 8, 64, 64]))
    x = np.full((2, 8, 64, 64), constant, np.float32)
    x[:, 4:] = np.random.default_rng(1).normal(size=(2, 4, 64, 64))
    result = opened.run({"x": x})["y"]
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[:, 4:], definition(x, 2, scale, shift)[:, 4:], atol=2e-5)


def test_what_is_not_finite_stays_in_its_group():
    scale, shift = parameters(8)
    opened = open_model(group_norm(8, 2, {"s": scale, "b": shift}, shape=["n", 8, 64, 64]))
    x = np.random.default_rng(1).normal(size=(2, 8, 64, 64)).astype(np.float32)
    clean = opened.run({"x": x})["y"]
    x[0, 0, 0, 0], x[0, 0, 3, 5] = np.inf, np.nan
    result = opened.run({"x": x})["y"]
    assert np.isnan(result[0, :4]).all()
    assert np.array_equal(result[0, 4:], clean[0, 4:])
    assert np.array_equal(result[1], clean[1])


def test_a_form_for_any_runtime_has_no_batch_norm_in_training_mode():
    scale, shift = parameters(8)
    proto = group_norm(8, 2, {"s": scale, "b": shift}, shape=["n", 8, 64, 64])
    here = onnx.ModelProto()
    here.CopyFrom(proto)
    lower_normalizations(proto)
    assert "BatchNormalization" not in {node.op_type for node in proto.graph.node}
    lower_normalizations(here, (GROUP_NORM, INSTANCE_NORM))
    onnx.checker.check_model(here, full_check=True)
    assert "BatchNormalization" in {node.op_type for node in here.graph.node}


def test_the_lowered_file_is_valid_and_the_given_model_is_unchanged():
    scale, shift = parameters(8)
    proto = group_norm(8, 2, {"s": scale, "b": shift})
    before = proto.SerializeToString()
    open_model(proto)
    assert proto.SerializeToString() == before
    lower_normalizations(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert "GroupNormalization" not in {node.op_type for node in proto.graph.node}
