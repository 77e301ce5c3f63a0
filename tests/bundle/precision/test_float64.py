import numpy as np
import onnx
import pytest

from bundle import InputInvalid, open_model
from bundle.precision import Float64Model
from tests.bundle.checks.ordinary import ORDINARY
from tests.bundle.checks.texts import normal, parse
from tests.bundle.onnx_models import group_norm
from tests.bundle.precision.models import by_hand, inputs, perceptron


def test_a_network_is_as_numpy_computes_it_in_float64():
    w = normal(16, 16)
    model = parse("(float[b, 16] x) => (float[b, 16] y) { y = MatMul (x, w) }", weights={"w": w})
    feed = inputs(3, 16)
    answer = Float64Model(model).run(feed)["y"]
    assert answer.dtype == np.float64
    np.testing.assert_allclose(answer, feed["x"].astype(np.float64) @ w.astype(np.float64))


@pytest.mark.parametrize("name", ["a residual network", "a recurrence written as a scan"])
def test_it_is_nearer_to_float32_than_a_thousandth(name):
    model = ORDINARY[name]
    opened = open_model(model)
    generator = np.random.default_rng(0)
    feeds = {
        spec.name: generator.standard_normal(
            [2 if isinstance(d, str) else d for d in spec.shape]
        ).astype(np.float32)
        for spec in opened.inputs
    }
    single, wide = opened.run(feeds), Float64Model(model).run(feeds)
    for output, array in single.items():
        np.testing.assert_allclose(array, wide[output], atol=1e-4)


def test_inner_values_are_given_by_name_and_unknown_names_left_out():
    found = Float64Model(perceptron()).run(inputs(2, 16), ["x", "n", "w", "absent"])
    assert found.keys() == {"x", "n", "w"}
    np.testing.assert_allclose(found["w"], normal(16, 32))


def test_a_group_normalization_is_normalized():
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    model = group_norm(8, 2, {"s": ones, "b": zeros})
    feed = {"x": 1000 + inputs(1, 8, 5, 5)["x"]}
    answer = Float64Model(model).run(feed)["y"].reshape(2, -1)
    np.testing.assert_allclose(answer.mean(1), 0, atol=1e-10)
    np.testing.assert_allclose(answer.std(1), 1, rtol=1e-4)


def test_a_node_that_only_onnx_runtime_knows_runs_there_and_is_listed():
    model = parse(
        "(float[b, 8] x) => (float[b, 8] y) { h = com.microsoft.Gelu (x)\n y = Add (h, x) }"
    )
    wide = Float64Model(model)
    feed = inputs(2, 8)
    np.testing.assert_allclose(wide.run(feed)["y"], open_model(model).run(feed)["y"], atol=1e-6)
    assert wide.narrow == {"h"}


def test_a_graph_in_a_branch_is_computed_in_float64_too():
    model = parse(
        """(bool go, float[4] x) => (float[4] y) {
            y = If (go) <
                then_branch = a () => (float[4] a) { a = Mul (x, x) },
                else_branch = b () => (float[4] b) { b = Neg (x) }
            >
        }"""
    )
    x = np.float32([1.1, 2.2, 3.3, 4.4])
    answer = Float64Model(model).run({"go": np.array(True), "x": x})["y"]
    np.testing.assert_array_equal(answer, x.astype(np.float64) ** 2)


def test_functions_of_the_file_are_looked_into():
    model = parse(
        "(float[4] x) => (float[4] y) { y = local.twice (x) }",
        functions='<domain: "local", opset_import: ["": 23]> twice (a) => (b) { b = Add (a, a) }',
    )
    x = np.float32([1, 2, 3, 4])
    np.testing.assert_array_equal(Float64Model(model).run({"x": x})["y"], 2 * x)


def test_an_operator_that_one_implementation_gets_wrong_is_disputed_and_left_to_onnx_runtime():
    model = ORDINARY["a recurrence over lengths"]
    opened = open_model(model)
    generator = np.random.default_rng(0)
    feeds = {
        spec.name: (
            generator.standard_normal([2 if isinstance(d, str) else d for d in spec.shape])
        ).astype(spec.datatype.numpy)
        for spec in opened.inputs
    }
    feeds = {name: np.maximum(a, 1) if a.dtype.kind == "i" else a for name, a in feeds.items()}
    wide = Float64Model(model)
    (dispute,) = wide.distrust(feeds)
    assert dispute.operator.op_type == "GRU"
    for name, array in opened.run(feeds).items():
        np.testing.assert_allclose(wide.run(feeds)[name], array, atol=1e-5)


def test_nothing_is_disputed_about_an_ordinary_network():
    assert Float64Model(perceptron()).distrust(inputs(2, 16)) == ()


def test_rounded_values_overflow_as_the_declared_type_does():
    model = onnx.ModelProto()
    model.CopyFrom(by_hand())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float16(1e-5), "epsilon"))
    feed = inputs(2, 64, scale=500.0)
    assert np.isinf(Float64Model(model, rounded=True).run(feed, ["square"])["square"]).any()
    assert np.isfinite(Float64Model(model).run(feed, ["square"])["square"]).all()


def test_other_inputs_than_the_models_are_refused():
    with pytest.raises(InputInvalid, match="wants"):
        Float64Model(perceptron()).run({"z": np.zeros((1, 16), np.float32)})
