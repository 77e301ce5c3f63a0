import numpy as np
import pytest

from bundle import Tolerance
from bundle.checks import Subject
from bundle.checks.rounding import rounding_tolerances
from tests.bundle.checks.texts import normal, parse

TEXT = "(float[batch, 64] x) => (float[batch, 64] y) { y = MatMul (x, w) }"
X = normal(2, 64, seed=3)
W = normal(64, 64)


def subject(manifest=None):
    return Subject(model=parse(TEXT, weights={"w": W}), manifest=manifest)


def test_without_a_manifest_the_movement_by_an_ulp_is_the_measure():
    answers = [{"y": X @ W}]
    (tolerance,) = rounding_tolerances(subject(), [{"x": X}], answers).values()
    assert 1e-8 < tolerance.atol < 1e-5
    assert "one unit in its last place" in tolerance.source


def test_what_moves_by_a_hundredth_is_not_rounding():
    model = parse("(float[batch, 4] x) => (float[batch, 4] y) { y = Tan (x) }")
    near_the_pole = np.full((1, 4), np.pi / 2, np.float32)
    answers = [{"y": np.tan(near_the_pole)}]
    tolerances = rounding_tolerances(Subject(model=model), [{"x": near_the_pole}], answers)
    assert tolerances["y"].atol == pytest.approx(1e-2 * np.abs(answers[0]["y"]).max(), rel=1e-6)


@pytest.mark.parametrize(("atol", "expected"), [(1e-3, 1e-3), (1e-9, 32 * 10 * 2.0**-23)])
def test_the_manifests_tolerance_is_taken_but_not_below_a_few_ulps(scaling, atol, expected):
    proto, manifest, sample = scaling
    stated = {"y": Tolerance(atol=atol, rtol=0.0, source="at export")}
    given = Subject(model=proto, manifest=manifest.model_copy(update={"tolerances": stated}))
    tolerance = rounding_tolerances(given, [sample.inputs], [sample.outputs])["y"]
    assert tolerance.atol == pytest.approx(expected)
    assert "at export" in tolerance.source


def test_integers_have_no_tolerance():
    model = parse("(int64[batch] x) => (int64[batch] y) { y = Neg (x) }")
    x = np.int64([1, 2])
    assert rounding_tolerances(Subject(model=model), [{"x": x}], [{"y": -x}]) == {}
