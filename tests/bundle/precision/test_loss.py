import numpy as np
import pytest

from bundle.precision import Precision
from bundle.precision.loss import MAX_LOSS, loss_finding, loss_tolerances, relative_loss

EXACT = [{"y": np.array([[1.0, -4.0]])}, {"y": np.array([[8.0, 0.0]])}]


def off_by(error, place=0):
    answers = [{"y": answer["y"].astype(np.float32)} for answer in EXACT]
    answers[place]["y"][0, 0] += error
    return answers


@pytest.mark.parametrize(("error", "status"), [(0.39, "pass"), (0.41, "fail")])
def test_the_bound_is_a_part_of_the_largest_value_over_all_inputs(error, status):
    tolerances = loss_tolerances(EXACT, Precision.INT8, 0.05)
    assert tolerances["y"].atol == pytest.approx(0.4)
    found = loss_finding(EXACT, off_by(error), tolerances, "int8 on 2 rows")
    assert found.status == status
    assert found.measured == pytest.approx(error)
    assert "stated" in found.tolerance.source
    assert bool(found.remedy) == (status == "fail")


def test_the_loss_is_the_worst_of_all_inputs_and_outputs():
    expected = [{"y": EXACT[0]["y"], "z": np.array([[1.0]])}]
    got = [{"y": EXACT[0]["y"].astype(np.float32), "z": np.array([[1.5]], np.float32)}]
    assert relative_loss(expected, got) == pytest.approx(0.5)


def test_a_value_that_is_not_finite_is_an_infinite_loss_and_fails():
    got = off_by(np.nan)
    assert relative_loss(EXACT, got) == np.inf
    tolerances = loss_tolerances(EXACT, Precision.FP16, MAX_LOSS[Precision.FP16])
    assert loss_finding(EXACT, got, tolerances, "fp16").status == "fail"


def test_the_same_infinity_is_no_loss():
    infinite = [{"y": np.array([[np.inf, 2.0]])}]
    assert relative_loss(infinite, [{"y": np.array([[np.inf, 2.0]], np.float32)}]) == 0


def test_an_integer_that_differs_has_no_size_and_fails():
    expected, got = [{"class": np.array([3])}], [{"class": np.array([4])}]
    assert relative_loss(expected, got) is None
    found = loss_finding(expected, got, loss_tolerances(expected, Precision.INT8, 0.5), "int8")
    assert found.status == "fail"
    assert "no float differs" in found.meaning
