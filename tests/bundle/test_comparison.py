import ml_dtypes
import numpy as np
import pytest
from pydantic import ValidationError

from bundle import EXACT, Tolerance, compare, derive_tolerance

LOOSE = Tolerance(atol=0.1, rtol=0.0, source="test")


def outcome(expected, actual, tolerance=LOOSE):
    (result,) = compare({"y": expected}, {"y": actual}, {"y": tolerance})
    return result


def test_equal_arrays_agree_with_no_error():
    result = outcome(np.float32([1, 2]), np.float32([1, 2]))
    assert result.passed
    assert result.max_abs_error == 0.0


def test_the_worst_element_is_named_with_both_numbers():
    result = outcome(np.float32([[1, 2], [3, 4]]), np.float32([[1, 2.05], [3.5, 4]]))
    assert not result.passed
    assert result.worst_index == (1, 0)
    assert (result.expected, result.actual) == ("3", "3.5")
    assert "1 of 4 elements" in result.reason
    assert result.max_abs_error == pytest.approx(0.5)


def test_a_passing_comparison_reports_its_largest_error_too():
    result = outcome(np.float32([1.0]), np.float32([1.05]))
    assert result.passed
    assert result.max_abs_error == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("expected", "actual", "agrees"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (-np.inf, -np.inf, True),
        (np.inf, -np.inf, False),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, 1e30, False),
        (np.nan, np.inf, False),
    ],
)
def test_a_value_that_is_not_finite_agrees_only_with_itself(expected, actual, agrees):
    huge = Tolerance(atol=1e38, rtol=1.0, source="test")
    result = outcome(np.float32([0, expected]), np.float32([0, actual]), huge)
    assert result.passed is agrees
    assert agrees or result.worst_index == (1,)


def test_a_relative_tolerance_scales_with_the_expected_value():
    tolerance = Tolerance(atol=0.0, rtol=0.01, source="test")
    assert outcome(np.float32([100]), np.float32([100.9]), tolerance).passed
    assert not outcome(np.float32([1]), np.float32([1.02]), tolerance).passed


@pytest.mark.parametrize(
    ("actual", "says"),
    [
        (np.float64([1, 2]), "is FP64, expected FP32"),
        (np.int64([1, 2]), "is INT64, expected FP32"),
        (np.float32([[1, 2]]), "has shape (1, 2), expected (2,)"),
    ],
)
def test_types_and_shapes_are_compared_before_values(actual, says):
    result = outcome(np.float32([1, 2]), actual)
    assert not result.passed
    assert result.max_abs_error is None
    assert says in result.reason


def test_a_float64_reference_may_stand_for_a_narrower_output():
    assert outcome(np.float64([1.01]), np.float32([1.0])).passed
    assert outcome(np.float64([1.01]), np.array([1.0], ml_dtypes.bfloat16)).passed


def test_missing_and_surplus_outputs_fail_by_name():
    missing, surplus = compare({"a": np.float32([1])}, {"b": np.float32([1])}, {"a": LOOSE})
    assert missing.reason == "output 'a' is missing; there are 'b'"
    assert surplus.reason == "output 'b' was not expected, only 'a'"


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (np.int64([1, 2, 3]), np.int64([1, 2, 4])),
        (np.bool_([True, False]), np.bool_([True, True])),
        (np.array([b"a\0", b"b"], object), np.array([b"a", b"b"], object)),
        (np.uint64([2**64 - 1]), np.uint64([2**64 - 2])),
    ],
)
def test_exact_types_have_no_tolerance(expected, actual):
    assert outcome(expected, expected.copy()).passed
    result = outcome(expected, actual)
    assert not result.passed
    assert result.tolerance == EXACT


def test_text_and_its_utf8_bytes_are_the_same_element():
    assert outcome(np.array([b"\xc3\xa9"], object), np.array(["é"], object)).passed


def test_empty_outputs_agree_when_their_shapes_do():
    assert outcome(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32)).passed
    assert not outcome(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32)).passed


def test_a_float_output_without_a_tolerance_is_a_mistake():
    with pytest.raises(KeyError):
        compare({"y": np.float32([1])}, {"y": np.float32([1])}, {})


def test_the_tolerance_is_a_multiple_of_torchs_own_error():
    reference = np.linspace(-1, 1, 100)
    tolerance = derive_tolerance(reference, (reference + 1e-3).astype(np.float32))
    assert tolerance.atol == pytest.approx(8e-3, rel=1e-3)
    assert "0.001" in tolerance.source


def test_the_tolerance_never_falls_below_some_ulps_of_the_largest_value():
    reference = np.float64([0.5, -4.0])
    tolerance = derive_tolerance(reference, reference.astype(np.float32))
    assert tolerance.atol == pytest.approx(32 * 4 * 2**-23)
    half = derive_tolerance(reference, reference.astype(np.float16))
    assert half.atol == pytest.approx(32 * 4 * 2**-10)


def test_elements_that_are_not_finite_do_not_widen_the_tolerance():
    reference = np.float64([1.0, np.inf, np.nan])
    tolerance = derive_tolerance(reference, np.float32([1.0, np.inf, 3.0]))
    assert tolerance.atol == pytest.approx(32 * 2**-23)


@pytest.mark.parametrize("atol", [float("nan"), float("inf"), -1.0])
def test_a_tolerance_that_everything_or_nothing_meets_is_refused(atol):
    with pytest.raises(ValidationError):
        Tolerance(atol=atol, rtol=0.0, source="test")


def test_a_widened_tolerance_says_why():
    widened = LOOSE.widened(0.5, "the golden output is float32")
    assert widened.atol == pytest.approx(0.6)
    assert "the golden output is float32" in widened.source
