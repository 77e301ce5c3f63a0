import importlib
from collections import Counter

import numpy as np
import onnx
import pytest

from bundle import Datatype, InputInvalid, ModelInvalid, open_model
from bundle.certificate import Verdict
from bundle.checks import Subject, certify
from bundle.precision import Precision, kept_nodes, variant
from bundle.precision.narrowing import narrowed
from tests.bundle.checks.texts import normal, parse
from tests.bundle.precision.models import by_hand, inputs, perceptron

SIXTEEN = [Precision.FP16, Precision.BF16]


def kept(model, feed, precision=Precision.FP16):
    return {node.output: node.reason for node in kept_nodes(model, precision, [feed])}


@pytest.mark.parametrize("precision", SIXTEEN)
def test_a_16_bit_variant_is_valid_and_keeps_its_inputs_and_outputs_in_float32(precision):
    converted = variant(perceptron(), precision, [inputs(2, 16)])
    onnx.checker.check_model(converted, full_check=True)
    ends = [*converted.graph.input, *converted.graph.output]
    assert {v.type.tensor_type.elem_type for v in ends} == {onnx.TensorProto.FLOAT}
    weights = {t.name: t.data_type for t in converted.graph.initializer}
    assert set(weights.values()) == {precision.datatype.onnx}


def test_casts_stand_only_where_types_meet():
    converted = variant(perceptron(), Precision.FP16, [inputs(2, 16)])
    assert Counter(n.op_type for n in converted.graph.node)["Cast"] == 2  # one in, one out


def test_the_model_itself_is_left_as_it_is():
    model = perceptron()
    before = model.SerializeToString()
    for precision in Precision:
        variant(model, precision, [inputs(2, 16)])
    assert model.SerializeToString() == before


def test_a_float16_variant_answers_nearly_the_same():
    feed = inputs(4, 16)
    converted = open_model(variant(perceptron(), Precision.FP16, [feed]))
    expected = open_model(perceptron()).run(feed)["y"]
    np.testing.assert_allclose(converted.run(feed)["y"], expected, atol=0.02)


def test_a_normalization_written_by_hand_keeps_its_statistics_in_float32():
    found = kept(by_hand(), inputs(2, 64))
    assert found.keys() >= {"mean", "square", "variance", "safe", "deviation", "y"}
    assert "square" in found["square"]


def test_a_layer_normalization_goes_to_16_bits_for_the_standard_computes_it_in_float32():
    assert "n" not in kept(perceptron(), inputs(2, 16))


def test_an_instance_normalization_stays_for_the_standard_leaves_its_precision_open():
    weights = {"s": np.ones(3, np.float32), "b": np.zeros(3, np.float32)}
    model = parse(
        "(float[b, 3, 8] x) => (float[b, 3, 8] y) { y = InstanceNormalization (x, s, b) }",
        weights=weights,
    )
    assert "standard" in kept(model, inputs(1, 3, 8))["y"]


def test_a_tiny_epsilon_stays_in_float32():
    model = parse(
        "(float[b, 4] x) => (float[b, 4] y) { a = Abs (x)\n y = Add (a, e) }",
        weights={"e": np.float32(1e-12)},
    )
    assert "epsilon of 1e-12" in kept(model, inputs(1, 4))["y"]


def test_what_leaves_the_range_in_calibration_stays_and_bf16_has_the_range():
    model = parse("(float[b, 4] x) => (float[b, 4] y) { h = Exp (x)\n y = Log (h) }")
    feed = {"x": np.full((1, 4), 12.0, np.float32)}  # exp(12) = 163 thousand
    assert "reached 1.63e+05" in kept(model, feed)["h"]
    assert not kept(model, feed, Precision.BF16)


def test_positions_stay_in_float32():
    model = parse(
        """(int64[b, length] ids) => (float[length, 4] y) {
            shape = Shape <start = 1> (ids)
            end = Squeeze (shape)
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            places = Range (zero, end, one)
            floats = Cast <to = 1> (places)
            last = Constant <value_ints = [-1]> ()
            column = Unsqueeze (floats, last)
            angle = Mul (column, frequencies)
            y = Sin (angle)
        }""",
        weights={"frequencies": np.float32([1, 0.1, 0.01, 0.001])},
    )
    found = kept(model, {"ids": np.zeros((1, 5), np.int64)})
    assert "sine" in found["angle"]
    assert found.keys() >= {"floats", "column"}
    assert "y" not in found


def test_a_resize_keeps_its_float32_scales():
    model = parse(
        """(float[b, 1, 4, 4] x) => (float[b, 1, 8, 8] y) {
            y = Resize <mode = "nearest"> (x, , scales)
        }""",
        weights={"scales": np.float32([1, 1, 2, 2])},
    )
    converted = variant(model, Precision.FP16, [inputs(1, 1, 4, 4)])
    types = {t.name: t.data_type for t in converted.graph.initializer}
    assert types == {"scales": onnx.TensorProto.FLOAT}
    open_model(converted).run(inputs(1, 1, 4, 4))


def test_a_value_that_a_branch_captures_is_there_in_float32():
    model = parse(
        """(bool go, float[2, 4] x) => (float[2, 4] y) {
            h = MatMul (x, w)
            y = If (go) <
                then_branch = a () => (float[2, 4] a) { a = Neg (h) },
                else_branch = b () => (float[2, 4] b) { b = Abs (h) }
            >
        }""",
        weights={"w": normal(4, 4)},
    )
    feed = {"go": np.array(True), **inputs(2, 4)}
    converted = variant(model, Precision.FP16, [feed])
    expected = open_model(model).run(feed)["y"]
    np.testing.assert_allclose(open_model(converted).run(feed)["y"], expected, atol=0.01)


def test_a_value_that_is_an_output_and_read_on_is_given_in_both_types():
    model = parse(
        "(float[b, 4] x) => (float[b, 4] h, float[b, 4] y) { h = MatMul (x, w)\n y = Relu (h) }",
        weights={"w": normal(4, 4)},
    )
    converted = narrowed(model, Precision.FP16, kept=set())
    onnx.checker.check_model(converted, full_check=True)
    opened = open_model(converted)
    assert [spec.datatype for spec in opened.outputs] == [Datatype.FP32, Datatype.FP32]
    answer = opened.run(inputs(2, 4))
    np.testing.assert_array_equal(np.maximum(answer["h"], 0), answer["y"])


def test_an_int8_variant_quantizes_matrix_products_and_nothing_else():
    feed = inputs(8, 16)
    converted = variant(perceptron(), Precision.INT8, [feed])
    producers = {o: n for n in converted.graph.node for o in n.output}
    norm = next(n for n in converted.graph.node if n.op_type == "LayerNormalization")
    assert producers[norm.input[0]].op_type != "DequantizeLinear"
    products = [n for n in converted.graph.node if n.op_type == "MatMul"]
    assert {producers[n.input[0]].op_type for n in products} == {"DequantizeLinear"}
    assert "DynamicQuantizeLinear" not in {n.op_type for n in converted.graph.node}
    expected = open_model(perceptron()).run(feed)["y"]
    np.testing.assert_allclose(open_model(converted).run(feed)["y"], expected, atol=0.15)


def test_int8_without_calibration_is_refused_and_so_is_dynamic_quantization():
    with pytest.raises(InputInvalid, match="Dynamic quantization"):
        variant(perceptron(), Precision.INT8, [])


def test_a_file_whose_weights_are_inputs_too_is_converted():
    model = perceptron()
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    converted = variant(model, Precision.FP16, [inputs(2, 16)])
    assert [value.name for value in converted.graph.input] == ["x"]


def test_operators_that_do_not_know_bfloat16_are_refused():
    old = parse("(float[b, 4] x) => (float[b, 4] y) { y = Relu (x) }", opset=11)
    with pytest.raises(ModelInvalid, match="opset 11"):
        variant(old, Precision.BF16, [inputs(1, 4)])


def test_a_model_without_products_is_refused_for_int8():
    model = parse("(float[b, 4] x) => (float[b, 4] y) { y = Relu (x) }")
    with pytest.raises(ModelInvalid, match="no Conv"):
        variant(model, Precision.INT8, [inputs(1, 4)])


def test_a_dynamically_quantized_model_gets_no_certificate(tmp_path):
    """One scale for the whole batch: ONNX Runtime's own tool makes it, and nobody may batch it."""
    tools = importlib.import_module("onnxruntime.quantization")
    source, target = tmp_path / "float.onnx", tmp_path / "dynamic.onnx"
    onnx.save_model(perceptron(), source)
    tools.quant_pre_process(source, source, skip_symbolic_shape=True)
    tools.quantize_dynamic(source, target, weight_type=tools.QuantType.QInt8)
    certificate = certify(Subject(model=target))
    assert certificate.verdict is Verdict.DEPENDENT
    assert not certificate.allows_batching
    assert certificate.operator.op_type == "DynamicQuantizeLinear"


def test_a_statically_quantized_model_gets_a_certificate():
    feeds = (inputs(8, 16),)
    converted = variant(perceptron(), Precision.INT8, feeds)
    assert certify(Subject(model=converted, inputs=feeds)).allows_batching
