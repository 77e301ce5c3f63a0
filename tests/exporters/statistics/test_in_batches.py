import torch
from torch import nn

from exporters.statistics.in_batches import InBatches

torch.set_num_threads(1)


class Sizes(nn.Module):
    """Says for each row how many were in its batch."""

    def forward(self, x, *, more):
        return {"size": torch.full((len(x),), len(x)), "sum": (x + more["y"],), "name": "a"}


def test_rows_are_split_and_joined_in_any_container():
    x, y = torch.arange(7.0), torch.ones(7)
    returned = InBatches(Sizes(), 2)(x, more={"y": y})
    assert returned["size"].tolist() == [2, 2, 2, 2, 3, 3, 3]
    assert torch.equal(returned["sum"][0], x + y)
    assert returned["name"] == "a"


def test_fewer_rows_than_a_batch_are_one_batch():
    assert InBatches(Sizes(), 8)(torch.ones(3), more={"y": 1})["size"].tolist() == [3, 3, 3]
