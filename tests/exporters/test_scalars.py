import torch
from torch import nn
from torch.nn import functional

from exporters.convert import convert
from exporters.scalars import as_constant_tensors, as_numbers, integer_buffers

torch.set_num_threads(1)

ROWS = torch.randn(2, 3)


class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("stride", torch.tensor(2), persistent=False)
        self.register_buffer("mask", torch.ones(3, dtype=torch.long), persistent=False)
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)


class Padding(Strided):
    def forward(self, x):
        return functional.pad(x, (0, int(self.stride))) if self.stride > 1 else x


class TensorArithmetic(Strided):
    """A padding by torch functions, which take no numbers."""

    def forward(self, x):
        missing = torch.ceil(x.shape[-1] / self.stride).to(torch.int64) * self.stride - x.shape[-1]
        return functional.pad(x, (0, missing)) if x.shape[-1] > missing else x


class DynamicArithmetic(Strided):
    """A padding by the size of a dynamic axis."""

    def forward(self, x):
        return functional.pad(x, (0, x.shape[-1] % self.stride)) if self.stride > 1 else x


def shape_of_output(model, **options):
    return tuple(convert(model, ROWS, **options).model.graph.outputs[0].shape)


def test_only_buffers_of_one_integer_are_constants():
    (found,) = integer_buffers(Strided())

    assert (found.name, found.value.item()) == ("stride", 2)


def test_integers_that_are_kept_as_buffers_may_decide_what_is_computed():
    model = Padding()

    assert shape_of_output(model) == ("batch", 5)
    assert torch.is_tensor(model.stride)


def test_they_may_be_given_to_functions_that_take_only_tensors():
    model = TensorArithmetic()

    assert shape_of_output(model) == ("batch", 4)
    assert type(model) is TensorArithmetic


def test_they_may_meet_dynamic_sizes():
    batch, length = shape_of_output(
        DynamicArithmetic(), dynamic_shapes={"x": {0: "batch", 1: "length"}}
    )

    assert batch == "batch"
    assert "length" in str(length)


def test_as_constant_tensors_they_are_made_anew_at_every_reading():
    model = Strided()
    buffers = integer_buffers(model)

    as_numbers(buffers)
    assert model.stride == 2
    assert not torch.is_tensor(model.stride)

    as_constant_tensors(buffers)
    model.stride.add_(1)
    assert torch.equal(model.stride, torch.tensor(2))
    assert isinstance(model, Strided)
