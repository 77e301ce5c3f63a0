import pytest
import torch
from torch import nn
from torch.export import Dim

from bundle import DimensionRange
from exporters.calls import Call
from exporters.dimensions import declare
from exporters.errors import DimensionInvalid


class Two(nn.Module):
    def forward(self, pixels, mask=None):
        return pixels


class Tree(nn.Module):
    def forward(self, batch, scale):
        return batch["a"][0] * scale


PIXELS, MASK = torch.ones(1, 3, 8, 8), torch.ones(1, 8)


def declared(shapes, *, module=None, example=None):
    example = (PIXELS, MASK) if example is None else example
    call = Call.of(module or Two(), example)
    return declare(call, call.tensors(example), shapes)


def test_without_a_declaration_axis_0_of_every_input_is_the_batch():
    assert declared(None).axes == ({0: "batch"}, {0: "batch"})


def test_without_a_declaration_an_input_with_other_rows_gets_a_batch_of_its_own():
    dimensions = declared(None, example=(torch.ones(2, 3), torch.ones(5, 3)))

    assert dimensions.axes == ({0: "batch"}, {0: "mask_batch"})


def test_without_a_declaration_a_scalar_input_has_no_batch():
    assert declared(None, example=(PIXELS, torch.tensor(1.0))).axes == ({0: "batch"}, {})


@pytest.mark.parametrize(
    "shapes",
    [
        {"pixels": {0: "batch", 2: "height"}, "mask": {0: "batch"}},
        {"pixels": {0: Dim("batch"), 2: Dim("height")}, "mask": {0: Dim("batch")}},
        ({0: "batch", 2: "height"}, {0: "batch"}),
        (("batch", None, "height", None), ("batch", None)),
        {"pixels": {0: "batch", -2: "height"}, "mask": {0: "batch", 1: None}},
        {"pixels": {0: "batch", 1: 3, 2: "height", 3: Dim.STATIC}, "mask": {0: "batch"}},
    ],
)
def test_every_style_of_declaration_says_the_same(shapes):
    assert declared(shapes).axes == ({0: "batch", 2: "height"}, {0: "batch"})


def test_an_input_that_is_not_declared_is_static():
    assert declared({"pixels": {0: "batch"}}).axes == ({0: "batch"}, {})


def test_a_hint_without_a_name_is_named_after_its_input_and_axis():
    assert declared({"pixels": {3: Dim.DYNAMIC}}).axes[0] == {3: "pixels_3"}


def test_a_declaration_may_be_nested_like_the_arguments():
    example = ({"a": [torch.ones(2, 3)]}, torch.ones(2, 1))
    nested = declared(({"a": [{0: "rows"}]}, {0: "rows"}), module=Tree(), example=example)
    by_name = declared(
        {"batch_a_0": {0: "rows"}, "scale": {0: "rows"}}, module=Tree(), example=example
    )

    assert nested.axes == by_name.axes == ({0: "rows"}, {0: "rows"})


def test_the_range_of_a_dim_is_kept():
    dimensions = declared({"pixels": {2: Dim("height", min=4, max=64)}})

    assert dimensions.by_name["height"].range == DimensionRange(minimum=4, maximum=64)


def test_a_derived_dimension_follows_its_root():
    half = Dim("half")
    dimensions = declared({"pixels": {2: 2 * half}})

    assert dimensions.sizes == {"half": 4, "2*half": 8}
    assert dimensions.complete({"half": 5}) == {"half": 5, "2*half": 10}


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"pixel": {0: "batch"}}, "declared for 'pixel'; the inputs are 'pixels', 'mask'"),
        ({"pixels": {4: "depth"}}, r"axis 4 of 'pixels'.*shape \(1, 3, 8, 8\)"),
        ({"pixels": {1: "n", 2: "n"}}, "dimension 'n' has size 3 .* 8 on axis 2 of 'pixels'"),
        ({"pixels": {1: 4}}, "axis 1 of 'pixels' is declared to be 4"),
        ({"pixels": {0: "my batch"}}, "'my batch'; a dimension's name is an identifier"),
        ({"pixels": "batch"}, "'pixels' is 'batch'; it is a dict"),
        ({"pixels": ("batch",)}, "has 1 entries; the example has 4 axes"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(shapes, said):
    with pytest.raises(DimensionInvalid, match=said):
        declared(shapes)
