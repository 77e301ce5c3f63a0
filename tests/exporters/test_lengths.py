import pytest
import torch
from torch import nn

from exporters.convert import convert
from exporters.errors import DimensionInvalid
from exporters.lengths import symbolic_lengths

torch.set_num_threads(1)

ROWS = torch.randn(2, 3)


class Queries(nn.Module):
    """One learned query for each row, as detectors have them."""

    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 3))

    def forward(self, x):
        return self.query.repeat(len(x), 1) + x


class Unrolled(nn.Module):
    def forward(self, x):
        return torch.stack([row * len(x) for row in x])


def test_the_length_of_a_tensor_leaves_the_batch_dynamic():
    converted = convert(Queries(), ROWS)

    assert tuple(converted.model.graph.outputs[0].shape) == ("batch", 3)


def test_a_batch_that_is_a_constant_for_another_reason_is_refused():
    with pytest.raises(DimensionInvalid, match=r"\{\} declares none"):
        convert(Unrolled(), ROWS)


def test_lengths_of_anything_else_are_what_they_were():
    builtin = len

    with symbolic_lengths():
        assert (len("four"), len([]), len(torch.zeros(3, 2))) == (4, 0, 3)
        with pytest.raises(TypeError, match="0-d tensor"):
            len(torch.tensor(1))

    assert len is builtin
