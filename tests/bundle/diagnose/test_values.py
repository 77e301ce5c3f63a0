import numpy as np
import pytest

from bundle import ModelInvalid
from bundle.diagnose import Graph, InnerValues, unoptimized
from bundle.diagnose.values import chunks
from tests.bundle.checks.texts import normal, parse
from tests.bundle.precision.models import inputs, perceptron

FEED = inputs(3, 16)


def test_inner_values_are_taken_by_name():
    found = InnerValues(perceptron(), unoptimized).take(FEED, ["h", "r"])
    np.testing.assert_allclose(found["h"], FEED["x"] @ normal(16, 32), rtol=1e-4, atol=1e-5)
    assert (found["r"] >= 0).all()


def test_sizes_are_counted_without_holding_the_values():
    counted = InnerValues(perceptron(), unoptimized).elements(FEED, ["h", "y"])
    assert counted == {"h": 96, "y": 12}


def test_values_are_taken_in_parts_that_fit_and_a_large_one_alone():
    elements = {"a": 10, "b": 10, "c": 1000, "d": 1}
    assert list(chunks(list(elements), elements, budget=160)) == [("a", "b"), ("c",), ("d",)]


def test_what_does_not_open_is_refused():
    with pytest.raises(ModelInvalid):
        InnerValues(perceptron(), unoptimized).take(FEED, ["absent"])


def test_a_region_lies_between_what_is_agreed_and_a_value():
    graph = Graph(perceptron())
    near = graph.region("y", {"h", "n"})
    assert [node.op_type for node in near.nodes] == ["Relu", "MatMul"]
    assert near.inputs == ("n",)
    whole = graph.region("y", ())
    assert len(whole.nodes) == 5
    assert whole.inputs == ("x",)


def test_only_values_that_are_computed_and_may_be_floats_are_compared():
    model = parse(
        """(float[b, 4] x) => (float[b, 4] y) {
            one = Constant <value = float {1.0}> ()
            shape = Shape (x)
            h = Add (x, one)
            y = Reshape (h, shape)
        }"""
    )
    assert Graph(model).floats == ("h", "y")
