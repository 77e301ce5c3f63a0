import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bundle import EXACT, Tolerance, compare
from exporters.error_histogram import HIGHEST_POWER, LOWEST_POWER, ErrorHistogram

TENTH = Tolerance(atol=0.1, rtol=0.0, source="for a test")


def counted(expected, actual, tolerance=TENTH):
    return ErrorHistogram.of(np.asarray(expected), np.asarray(actual), tolerance)


def bins(histogram):
    """Which powers of two there are, and how often."""
    return {power: count for power, count in enumerate(histogram.counts, LOWEST_POWER) if count}


def test_an_error_is_counted_in_parts_of_what_is_allowed():
    found = counted([0.0, 0.0, 0.0], [0.03, 0.15, 0.0])

    assert bins(found) == {-2: 1, 0: 1}  # 0.3 is in (1/4, 1/2], 1.5 in (1, 2]
    assert (found.elements, found.equal, found.outside) == (3, 1, 1)
    assert found.largest == pytest.approx(1.5)


@pytest.mark.parametrize(("error", "outside"), [(0.25, 0), (np.nextafter(0.25, 1), 1)])
def test_what_is_just_allowed_is_inside_and_the_next_number_is_not(error, outside):
    quarter = Tolerance(atol=0.25, rtol=0.0, source="for a test")
    assert counted([0.0], [error], quarter).outside == outside


def test_what_is_allowed_grows_with_the_value_where_the_tolerance_is_relative():
    relative = Tolerance(atol=0.0, rtol=0.1, source="for a test")
    assert counted([1.0, 100.0], [2.0, 101.0], relative).outside == 1


def test_errors_beyond_the_ends_are_in_the_last_bins():
    assert bins(counted([0.0, 0.0], [1e-30, 1e30])) == {LOWEST_POWER: 1, HIGHEST_POWER - 1: 1}


def test_the_same_value_that_is_not_finite_is_no_error_and_another_is_infinitely_far():
    nan, inf = np.nan, np.inf
    found = counted([nan, inf, -inf, inf, 1.0, nan], [nan, inf, -inf, -inf, nan, 1.0])

    assert (found.equal, found.outside) == (3, 3)
    assert found.largest == inf


def test_integers_are_equal_or_outside_even_where_float64_cannot_tell_them_apart():
    found = counted([2**53, 7], [2**53 + 1, 7], EXACT)
    assert (found.equal, found.outside) == (1, 1)


def test_booleans_are_compared():
    assert counted([True, False], [True, True], EXACT).outside == 1


def test_another_shape_is_off_in_every_element():
    assert counted([1.0, 2.0], [[1.0, 2.0]]).outside == 2


def test_an_empty_output_has_no_errors():
    assert counted(np.zeros((0, 3)), np.zeros((0, 3))) == ErrorHistogram()


def test_runs_add_up():
    generator = np.random.default_rng(0)
    expected = generator.standard_normal(200_000)  # more than are looked at together
    actual = expected + 0.1 * generator.standard_normal(200_000)
    parts = [
        ErrorHistogram.of(e, a, TENTH)
        for e, a in zip(np.split(expected, 4), np.split(actual, 4), strict=True)
    ]

    assert ErrorHistogram.total(parts) == ErrorHistogram.of(expected, actual, TENTH)


VALUES = arrays(np.float32, 12, elements=st.floats(width=32))


@given(expected=VALUES, actual=VALUES, atol=st.floats(0, 1e6), rtol=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_nothing_is_outside_exactly_where_the_comparison_passes(expected, actual, atol, rtol):
    tolerance = Tolerance(atol=atol, rtol=rtol, source="for a test")
    found = ErrorHistogram.of(expected, actual, tolerance)
    (comparison,) = compare({"y": expected}, {"y": actual}, {"y": tolerance})

    assert (found.outside == 0) == comparison.passed
    assert found.equal + sum(found.counts) == found.elements == 12
