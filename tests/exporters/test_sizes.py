import pytest
import torch
from torch import nn
from torch.export import Dim

from exporters.calls import Call
from exporters.dimensions import declare
from exporters.sizes import resize, sizes_to_trace, sizes_to_verify


class Any(nn.Module):
    def forward(self, x, y=None):
        return x


def dimensions_of(shapes, *tensors):
    call = Call.of(Any(), tensors)
    return declare(call, tensors, shapes)


def anything(sizes):
    return True


def test_a_batch_of_one_is_never_traced():
    x = torch.ones(1, 3)

    assert sizes_to_trace(dimensions_of(None, x), [x], anything) == {"batch": 7}


def test_a_traced_size_is_no_other_axis_size():
    x = torch.ones(1, 7, 5)

    assert sizes_to_trace(dimensions_of(None, x), [x], anything) == {"batch": 11}


def test_two_dimensions_of_equal_size_are_traced_at_different_sizes():
    x = torch.ones(2, 3, 8, 8)
    dimensions = dimensions_of({"x": {0: "batch", 2: "height", 3: "width"}}, x)

    traced = sizes_to_trace(dimensions, [x], anything)

    assert len(set(traced.values())) == 3


def test_sizes_that_the_model_does_not_take_are_not_traced():
    x = torch.ones(1, 3)

    traced = sizes_to_trace(dimensions_of(None, x), [x], lambda sizes: sizes["batch"] % 4 == 0)

    assert traced == {"batch": 4}


def test_the_examples_own_size_stays_where_the_model_takes_no_other():
    x = torch.ones(2, 1, 3)

    traced = sizes_to_trace(
        dimensions_of({"x": {1: "one"}}, x), [x], lambda sizes: sizes["one"] == 1
    )

    assert traced == {"one": 1}


def test_a_declared_range_bounds_every_size():
    x = torch.ones(2, 4)
    dimensions = dimensions_of({"x": {1: Dim("length", min=3, max=5)}}, x)

    verified = sizes_to_verify(dimensions, {"length": 5}, anything)

    assert {case["length"] for case in verified} == {3, 4, 5}


def test_several_batches_and_two_more_of_every_dimension_are_verified():
    x = torch.ones(1, 9)
    dimensions = dimensions_of({"x": {0: "batch", 1: "length"}}, x)

    cases = sizes_to_verify(dimensions, {"batch": 7, "length": 9}, anything)

    assert {case["batch"] for case in cases} == {1, 2, 3, 5, 7}
    assert {case["length"] for case in cases} == {9, 10, 11}


@pytest.mark.parametrize("multiple", [2, 16])
def test_models_that_want_multiples_are_verified_at_multiples(multiple):
    x = torch.ones(1, 32)
    dimensions = dimensions_of({"x": {1: "width"}}, x)

    cases = sizes_to_verify(dimensions, {}, lambda sizes: sizes["width"] % multiple == 0)

    assert len(cases) == 3


def test_resizing_repeats_or_leaves_out_rows():
    x = torch.arange(3)[:, None]
    dimensions = dimensions_of(None, x)

    (longer,) = resize([x], dimensions, {"batch": 5})
    (shorter,) = resize([x], dimensions, {"batch": 2})

    assert longer[:, 0].tolist() == [0, 1, 2, 0, 1]
    assert shorter[:, 0].tolist() == [0, 1]
