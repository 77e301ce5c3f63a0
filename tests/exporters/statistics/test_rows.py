import pytest
import torch
from torch import nn

from exporters.errors import InputsInvalid
from exporters.statistics import Rows

torch.set_num_threads(1)


class Scaled(nn.Module):
    def forward(self, x, table):
        return x * table


def generator():
    return torch.Generator().manual_seed(0)


def test_rows_of_several_calls_share_a_batch():
    rows = Rows.of(nn.Identity(), [torch.zeros(2, 3), torch.ones(3, 3)])
    assert rows.most == 5
    (drawn,) = rows.draw(4, generator())
    assert drawn.shape == (4, 3)


def test_rows_are_not_drawn_twice():
    rows = Rows.of(nn.Identity(), [torch.arange(10)[:, None]])
    (drawn,) = rows.draw(10, generator())
    assert sorted(drawn.flatten().tolist()) == list(range(10))


def test_rows_of_other_shapes_do_not_share_one():
    rows = Rows.of(nn.Identity(), [torch.zeros(2, 3), torch.zeros(4, 5), torch.zeros(1, 5)])
    assert rows.most == 5


def test_tensors_without_rows_go_with_every_batch():
    table = torch.rand(3)
    rows = Rows.of(Scaled(), [(torch.zeros(2, 3), table), (torch.ones(2, 3), table)])
    assert rows.most == 4
    assert torch.equal(rows.draw(3, generator())[1], table)


def test_rows_beside_different_tables_do_not_share_a_batch():
    rows = Rows.of(
        Scaled(), [(torch.zeros(2, 3), torch.rand(3)), (torch.ones(2, 3), torch.rand(3))]
    )
    assert rows.most == 2


def test_no_calls_are_an_error_that_says_so():
    with pytest.raises(InputsInvalid, match="give at least one call"):
        Rows.of(nn.Identity(), [])
