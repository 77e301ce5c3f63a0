from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

from exporters.calls import Call, Flat
from exporters.errors import InputsInvalid, OutputsInvalid
from exporters.outputs import flatten_output, what_is_left_out


class Many(nn.Module):
    def forward(self, image, *rest, scale=1.0, mask=None, **more):
        return image * scale


class Nested(nn.Module):
    def forward(self, batch, state=None):
        hidden = batch["hidden"][0] + batch["hidden"][1]
        return hidden if state is None else hidden + state[0]


ONE = torch.ones(2, 3)


def test_a_tensor_is_named_after_its_argument():
    assert Call.of(Many(), ONE).names == ("image",)


def test_positional_arguments_get_the_parameters_names_and_varargs_are_numbered():
    assert Call.of(Many(), (ONE, ONE, ONE)).names == ("image", "rest_0", "rest_1")


def test_keyword_arguments_keep_their_names_whatever_their_order():
    call = Call.of(Many(), {"mask": ONE, "image": ONE, "extra": ONE})

    assert call.names == ("mask", "image", "extra")


def test_nested_containers_are_named_by_the_way_to_each_tensor():
    call = Call.of(Nested(), {"batch": {"hidden": [ONE, ONE]}, "state": (ONE,)})

    assert call.names == ("batch_hidden_0", "batch_hidden_1", "state_0")


def test_constants_reach_the_model_and_are_no_inputs():
    call = Call.of(Many(), {"image": ONE, "scale": 3.0, "mask": None})

    (tripled,) = Flat(Many(), call)(ONE)

    assert call.names == ("image",)
    assert torch.equal(tripled, 3 * ONE)


def test_tensors_find_their_way_back_into_nested_arguments():
    example = {"batch": {"hidden": [ONE, ONE]}, "state": (ONE,)}
    flat = Flat(Nested(), Call.of(Nested(), example))

    (total,) = flat(ONE, 2 * ONE, 4 * ONE)

    assert torch.equal(total, 7 * ONE)


def test_given_names_replace_the_derived_ones():
    assert Call.of(Many(), (ONE, ONE), ("a", "b")).names == ("a", "b")


@pytest.mark.parametrize(
    ("example", "names", "said"),
    [
        ((ONE, ONE), ("a",), "got 1 input names"),
        ((ONE, ONE), ("a", "a"), "distinct"),
        ({"imaje": ONE}, None, "missing a required argument: 'image'"),
        ({"image": ONE.numpy()}, None, "input 'image' is a ndarray.*torch.from_numpy"),
        ({"image": 3}, None, "hold no tensor"),
        (3, None, "a tensor, a tuple of positional"),
    ],
)
def test_an_example_that_does_not_fit_is_refused_with_what_was_wanted(example, names, said):
    with pytest.raises(InputsInvalid, match=said):
        Call.of(Many(), example, names)


def test_reference_inputs_of_another_structure_are_refused():
    call = Call.of(Nested(), {"batch": {"hidden": [ONE, ONE]}})

    with pytest.raises(InputsInvalid, match="same nesting"):
        call.tensors({"batch": {"hidden": [ONE]}})


def test_reference_inputs_with_another_constant_are_refused():
    call = Call.of(Many(), {"image": ONE, "scale": 2.0})

    with pytest.raises(InputsInvalid, match="same constants"):
        call.tensors({"image": ONE, "scale": 3.0})


@dataclass
class Answer:
    logits: torch.Tensor
    states: object = None


class Pair(NamedTuple):
    mean: torch.Tensor
    spread: torch.Tensor


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (ONE, ["output"]),
        ((ONE, ONE), ["output_0", "output_1"]),
        ([ONE], ["output_0"]),
        ({"logits": ONE, "states": (ONE, None, ONE)}, ["logits", "states_0", "states_2"]),
        (Answer(ONE, {"a-b": ONE}), ["logits", "states_a_b"]),
        (Pair(ONE, ONE), ["mean", "spread"]),
        ((ONE, 3, "text", None), ["output_0"]),
    ],
)
def test_outputs_are_named_after_what_holds_them(returned, names):
    assert list(flatten_output(returned)) == names


def test_an_output_without_tensors_is_refused():
    with pytest.raises(OutputsInvalid, match="returns no tensor but int"):
        flatten_output(3)


def test_two_outputs_with_the_same_name_are_refused():
    with pytest.raises(OutputsInvalid, match="two outputs would be named 'a_b'"):
        flatten_output({"a-b": ONE, "a b": ONE})


def test_objects_that_torch_cannot_look_into_are_reported_as_left_out():
    class Cache:
        pass

    assert what_is_left_out({"logits": ONE, "cache": Cache(), "loss": None}) == ("cache (Cache)",)
