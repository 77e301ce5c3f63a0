import numpy as np
import pytest

from bundle import Tolerance
from service.consistency import Yardstick

YARDSTICK = Yardstick(
    tolerances={"y": Tolerance(atol=1e-6, rtol=0.0, source="a test")}, magnitudes={"y": 2.0}
)


def atol(*values):
    return YARDSTICK.of({"y": np.array(values, np.float32)})["y"].atol


def test_an_answer_as_large_as_those_examined_has_their_tolerance():
    assert atol(0.5, -2.0) == 1e-6


def test_a_larger_answer_has_a_tolerance_that_is_larger_by_as_much():
    assert atol(0.5, -200.0) == pytest.approx(1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_widens_nothing(value):
    assert atol(value, 1.0) == 1e-6
    assert atol(value) == 1e-6


def test_an_empty_answer_has_a_tolerance():
    assert atol() == 1e-6


def test_a_model_that_always_gave_nothing_but_zeros_has_no_scale():
    silent = YARDSTICK.model_copy(update={"magnitudes": {"y": 0.0}})
    assert silent.of({"y": np.array([5.0])})["y"].atol == 1e-6


def test_an_output_that_was_not_asked_for_needs_no_tolerance():
    assert YARDSTICK.of({"other": np.array([1])}) == {}
