import numpy as np
import onnx
import pytest

from bundle import InputInvalid, open_model
from bundle.diagnose import CauseKind, Verdict, diagnose_files
from bundle.precision import Precision, variant
from bundle.precision.narrowing import narrowed
from tests.bundle.checks.texts import normal, parse
from tests.bundle.precision.models import by_hand, inputs, perceptron

FEED = inputs(4, 16)
STATISTICS = {
    "scale": 1 + normal(8, seed=2),
    "shift": normal(8, seed=3),
    "mean": normal(8, seed=4),
    "variance": 0.5 + np.abs(normal(8, seed=5)),
}
CONV = {"w": normal(8, 3, 3, 3), "v": normal(4, 8, 1, 1, seed=1)}
PIXELS = inputs(2, 3, 6, 6)


def normalized(attributes="", **changes):
    """A convolution, its batch norm, and a convolution."""
    outputs = "n, m, s" if "training" in attributes else "n"
    return parse(
        f"""(float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) {{
            c = Conv (x, w)
            {outputs} = BatchNormalization {attributes} (c, scale, shift, mean, variance)
            r = Relu (n)
            y = Conv (r, v)
        }}""",
        weights=CONV | STATISTICS | changes,
    )


def folded(factor=1.0):
    """The same with the norm in the weights of the convolution, times some factor."""
    deviation = np.sqrt(STATISTICS["variance"].astype(np.float64) + 1e-5)
    gain = STATISTICS["scale"] / deviation
    weight = CONV["w"] * gain[:, None, None, None] * factor
    bias = STATISTICS["shift"] - STATISTICS["mean"] * gain
    model = parse(
        """(float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) {
            n = Conv (x, w, bias)
            r = Relu (n)
            y = Conv (r, v)
        }""",
        weights=CONV | {"w": weight.astype(np.float32), "bias": bias.astype(np.float32)},
    )
    model.graph.node[0].name = "conv"
    return model


def found(expected, actual, feed, **options):
    return diagnose_files(expected, actual, feed, **options).diagnosis


def test_a_file_agrees_with_itself_at_every_value():
    diagnosis = found(perceptron(), perceptron(), FEED)
    assert diagnosis.verdict is Verdict.AGREES
    assert [step.value for step in diagnosis.steps] == ["h", "i", "n", "r", "y"]
    assert diagnosis.first is diagnosis.cause is diagnosis.reproduction is None


def test_a_right_fold_agrees():
    assert found(normalized(), folded(), PIXELS).verdict is Verdict.AGREES


def test_a_wrong_fold_is_named_where_it_happened_and_reproduced_by_one_node():
    examined = diagnose_files(normalized(), folded(1.001), PIXELS)
    diagnosis = examined.diagnosis
    assert diagnosis.verdict is Verdict.DIVERGES
    assert diagnosis.first.value == "n"
    assert diagnosis.cause.kind is CauseKind.FOLD
    assert diagnosis.reproduction.nodes == 1
    assert diagnosis.reproduction.reproduces


def test_a_fold_that_differs_from_another_fold_is_told_from_other_weights():
    diagnosis = found(folded(), folded(1.001), PIXELS, folded={"conv": "stem.norm"})
    assert diagnosis.cause.kind is CauseKind.FOLD
    assert "stem.norm" in diagnosis.cause.meaning


def test_weights_that_differ_are_named_with_the_difference():
    other = perceptron(v=normal(32, 4, seed=4) + np.float32(1e-3))
    diagnosis = found(perceptron(), other, FEED)
    assert diagnosis.first.value == "y"
    assert diagnosis.cause.kind is CauseKind.WEIGHTS
    assert "'v' of MatMul 'y'" in diagnosis.cause.meaning
    assert "0.001" in diagnosis.cause.meaning


def test_an_epsilon_that_differs_is_named_with_both_numbers():
    diagnosis = found(normalized(), normalized("<epsilon = 0.01>"), PIXELS)
    assert diagnosis.first.value == "n"
    # one file spells out what is the other's default
    assert diagnosis.cause.kind is CauseKind.EPSILON
    assert "0.01" in diagnosis.cause.meaning
    assert "1e-05" in diagnosis.cause.meaning


def test_an_epsilon_that_is_added_by_hand_is_one_too():
    diagnosis = found(by_hand(1e-5), by_hand(1e-3), inputs(2, 64))
    assert diagnosis.first.value == "safe"
    assert diagnosis.cause.kind is CauseKind.EPSILON


def test_training_mode_is_named():
    diagnosis = found(normalized(), normalized("<training_mode = 1>"), PIXELS)
    assert diagnosis.first.value == "n"
    assert diagnosis.cause.kind is CauseKind.TRAIN_MODE
    assert "model.eval()" in diagnosis.cause.remedy


def test_statistics_of_the_batch_by_hand_are_training_mode_beside_a_batch_norm():
    by_batch = parse(
        """(float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) {
            c = Conv (x, w)
            axes = Constant <value = int64[3] {0, 2, 3}> ()
            m = ReduceMean (c, axes)
            n = Sub (c, m)
            r = Relu (n)
            y = Conv (r, v)
        }""",
        weights=CONV,
    )
    diagnosis = found(normalized(), by_batch, PIXELS)
    assert diagnosis.cause.kind is CauseKind.TRAIN_MODE
    assert "ReduceMean" in diagnosis.cause.meaning


def test_an_overflow_in_float16_is_named_with_the_value_that_does():
    feed = inputs(2, 64, scale=500.0)
    naive = narrowed(by_hand(), Precision.FP16, kept=set())
    diagnosis = found(by_hand(), naive, feed)
    assert diagnosis.verdict is Verdict.DIVERGES
    assert diagnosis.first.value == "square"
    assert diagnosis.cause.kind is CauseKind.PRECISION
    assert "ends at 65504" in diagnosis.cause.meaning
    assert diagnosis.reproduction.reproduces


def test_rounding_in_float16_explains_what_it_explains():
    half = variant(perceptron(), Precision.FP16, [FEED])
    diagnosis = found(perceptron(), half, FEED)
    assert diagnosis.verdict is Verdict.EXPLAINED
    assert diagnosis.cause.kind is CauseKind.PRECISION
    assert "explains all" in diagnosis.cause.meaning


def test_static_quantization_is_told_from_dynamic_quantization():
    quantized = variant(perceptron(), Precision.INT8, [FEED])
    assert found(perceptron(), quantized, FEED).cause.kind is CauseKind.QUANTIZATION
    dynamic = parse(
        """(float[batch, 16] x) => (float[batch, 4] y) {
            q, s, z = DynamicQuantizeLinear (x)
            d = DequantizeLinear (q, s, z)
            h = MatMul (d, w)
            i = Add (h, b)
            n = LayerNormalization (i, scale, shift)
            r = Relu (n)
            y = MatMul (r, v)
        }"""
    )
    dynamic.graph.initializer.extend(perceptron().graph.initializer)
    diagnosis = found(perceptron(), dynamic, FEED)
    assert diagnosis.first.value == "h"
    assert diagnosis.cause.kind is CauseKind.DYNAMIC_QUANTIZATION
    assert "neighbours" in diagnosis.cause.meaning


def test_another_operator_is_named():
    other = perceptron()
    node = next(n for n in other.graph.node if n.op_type == "Relu")
    node.op_type = "Gelu"
    diagnosis = found(perceptron(), other, FEED)
    assert diagnosis.cause.kind is CauseKind.OPERATOR
    assert "Gelu, expected Relu" in diagnosis.cause.meaning


def test_an_attribute_is_named():
    other = perceptron()
    node = next(n for n in other.graph.node if n.op_type == "Relu")
    node.op_type = "LeakyRelu"
    leaky = onnx.ModelProto()
    leaky.CopyFrom(other)
    leaky_node = next(n for n in leaky.graph.node if n.op_type == "LeakyRelu")
    leaky_node.attribute.append(onnx.helper.make_attribute("alpha", 0.2))
    node.attribute.append(onnx.helper.make_attribute("alpha", 0.1))
    diagnosis = found(other, leaky, FEED)
    assert diagnosis.cause.kind is CauseKind.ATTRIBUTE
    assert "alpha = 0.2, expected 0.1" in diagnosis.cause.meaning


def test_an_error_that_grows_smoothly_is_conditioning_and_no_divergence():
    text = """(float[b, 8] x) => (float[b, 8] y) {{
        h = Add (x, far)
        n = {between}
        y = Sub (n, far)
    }}"""
    far = {"far": np.float32(1e4), "two": np.float32(3)}
    plain = parse(text.format(between="Identity (h)"), weights=far)
    rounded = parse(
        """(float[b, 8] x) => (float[b, 8] y) {
            h = Add (x, far)
            t = Mul (h, two)
            n = Div (t, two)
            y = Sub (n, far)
        }""",
        weights=far,
    )
    diagnosis = found(plain, rounded, inputs(4, 8))
    assert diagnosis.verdict is Verdict.AGREES
    assert "conditioning" in diagnosis.conditioning


def test_the_reproduction_is_written_as_onnx_test_data_and_shows_it(tmp_path):
    examined = diagnose_files(normalized(), folded(1.001), PIXELS)
    examined.part.write(tmp_path)
    opened = open_model(tmp_path / "model.onnx")
    read = [
        onnx.numpy_helper.to_array(
            onnx.TensorProto.FromString((tmp_path / "test_data_set_0" / name).read_bytes())
        )
        for name in ("input_0.pb", "output_0.pb")
    ]
    got = opened.run({"x": read[0]})["n"]
    assert np.abs(got - read[1]).max() > 1e-4


def test_inputs_that_do_not_fit_both_files_are_refused():
    with pytest.raises(InputInvalid, match="all three must be the same"):
        diagnose_files(perceptron(), perceptron(), {"z": FEED["x"]})


def test_files_without_a_common_value_are_refused():
    other = parse("(float[batch, 16] x) => (float[batch, 16] z) { z = Relu (x) }")
    with pytest.raises(InputInvalid, match="in common"):
        diagnose_files(perceptron(), other, FEED)


def test_values_of_a_file_with_a_branch_are_cut_out_with_what_the_branch_captures():
    text = """(bool go, float[2, 4] x) => (float[2, 4] y) {{
        h = MatMul (x, w)
        y = If (go) <
            then_branch = a () => (float[2, 4] a) {{ a = Add (h, k) }},
            else_branch = b () => (float[2, 4] b) {{ b = {other} (h) }}
        >
    }}"""
    weights = {"w": normal(4, 4), "k": normal(4, seed=1)}
    right = parse(text.format(other="Abs"), weights=weights)
    wrong = parse(text.format(other="Neg"), weights=weights)
    feed = {"go": np.array(False), **inputs(2, 4)}
    diagnosis = diagnose_files(right, wrong, feed).diagnosis
    assert diagnosis.first.value == "y"
    assert set(diagnosis.reproduction.inputs) == {"go", "h"}
    assert diagnosis.reproduction.reproduces
