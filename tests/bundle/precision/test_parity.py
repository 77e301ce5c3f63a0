import numpy as np
import pytest

from bundle.checks import Subject
from bundle.precision import Precision, precision_finding, precision_tolerance, variant_findings
from bundle.precision.narrowing import narrowed
from bundle.precision.tolerance import coarsest, explained
from bundle.precision.variant import variant
from tests.bundle.checks.texts import parse
from tests.bundle.precision.models import by_hand, by_hand_behind_a_product, inputs, perceptron


def subject(model, *feeds):
    return Subject(model=model, inputs=feeds)


def test_float16_passes_rounded_as_declared_and_as_it_runs_here():
    rounded, running = precision_finding(subject(perceptron(), inputs(8, 16)), Precision.FP16)
    assert rounded.status == running.status == "pass"
    assert "rounded to the type" in rounded.meaning
    assert "computes most operators in float32" in running.meaning
    assert 0 < rounded.measured < rounded.tolerance.atol


def test_bfloat16_is_measured_by_rounding_and_said_not_to_run_here():
    rounded, running = precision_finding(subject(perceptron(), inputs(8, 16)), Precision.BF16)
    assert rounded.status == "pass"
    assert running.status == "not_applicable"
    assert "cannot run here" in running.meaning
    assert running.measured is None


def test_int8_passes_on_the_inputs_of_its_calibration():
    (running,) = precision_finding(subject(perceptron(), inputs(8, 16)), Precision.INT8)
    assert running.status == "pass"
    assert "rounding alone explains" in running.meaning


def test_a_variance_that_overflows_stays_finite_and_fails_by_its_numbers():
    feed = inputs(4, 64, scale=500.0)
    naive = narrowed(by_hand(), Precision.FP16, kept=set())
    rounded, *_ = variant_findings(subject(by_hand(), feed), naive, Precision.FP16, feeds=[feed])
    assert rounded.status == "fail"
    assert np.isfinite(rounded.measured)
    assert rounded.measured > 1  # the answers are 0 where they should be up to 2
    assert "diagnose" in rounded.remedy


def test_the_variant_keeps_what_would_overflow_in_float32_and_passes():
    feed = inputs(4, 64, scale=500.0)
    model = by_hand_behind_a_product()
    rounded, running = precision_finding(subject(model, feed), Precision.FP16)
    assert rounded.status == running.status == "pass"
    assert "in float32 stay 2 ReduceMean" in rounded.meaning
    naive = narrowed(model, Precision.FP16, kept=set())
    whole, *_ = variant_findings(subject(model, feed), naive, Precision.FP16, feeds=[feed])
    assert whole.status == "fail"


def test_an_epsilon_that_flushes_to_zero_fails_on_a_constant_input():
    feed = {"x": np.full((2, 64), 0.5, np.float32)}
    naive = narrowed(by_hand(1e-12), Precision.FP16, kept=set())
    rounded, *_ = variant_findings(
        subject(by_hand(1e-12), feed), naive, Precision.FP16, feeds=[feed]
    )
    assert rounded.status == "fail"
    assert "nan" in rounded.meaning


def test_a_precision_that_is_too_coarse_for_the_network_is_a_warning():
    cancelling = parse(
        "(float[b, 8] x) => (float[b, 8] y) { h = Add (x, far)\n y = Sub (h, far) }",
        weights={"far": np.float32(200)},
    )
    rounded, *_ = precision_finding(subject(cancelling, inputs(4, 8)), Precision.BF16)
    assert rounded.status == "warn"
    assert "too coarse" in rounded.remedy


def test_a_model_that_is_in_16_bits_already_is_not_judged():
    half = variant(perceptron(), Precision.FP16, [inputs(2, 16)])
    (finding,) = precision_finding(subject(half, inputs(2, 16)), Precision.INT8)
    assert finding.status == "not_applicable"
    assert "fp16 already" in finding.meaning


def test_a_model_without_samples_is_measured_on_random_inputs_and_says_so():
    rounded, *_ = precision_finding(Subject(model=perceptron()), Precision.FP16)
    assert "random inputs" in rounded.meaning


@pytest.mark.parametrize(
    ("precision", "coarser"), [(Precision.FP16, 2**13), (Precision.BF16, 2**16)]
)
def test_the_tolerance_is_float32s_own_error_as_many_times_as_the_precision_is_coarser(
    precision, coarser
):
    exact = np.ones(4)
    single = np.float32([1, 1, 1, 1 + 2e-6])
    error = float(np.abs(single - exact).max())
    assert explained(exact, single, precision) == pytest.approx(error * coarser)
    assert precision_tolerance(exact, single, precision).atol == pytest.approx(8 * error * coarser)


def test_a_lucky_network_is_allowed_a_few_steps():
    assert precision_tolerance(np.ones(4), np.ones(4, np.float32), Precision.FP16).atol == 4 / 1024


def test_the_coarsest_precision_of_a_graph_is_found():
    assert coarsest(perceptron()) is None
    for precision in Precision:
        assert coarsest(variant(perceptron(), precision, [inputs(2, 16)])) is precision


def test_what_cannot_be_converted_is_not_judged():
    model = parse("(float[b, 4] x) => (float[b, 4] y) { y = Relu (x) }")
    (finding,) = precision_finding(subject(model, inputs(1, 4)), Precision.INT8)
    assert finding.status == "not_applicable"
    assert "cannot be converted" in finding.meaning
