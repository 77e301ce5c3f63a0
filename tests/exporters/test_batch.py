import pytest
import torch
from torch import nn

from exporters.batch import NOISE, layers_over_batch, movement_by_neighbours
from exporters.convert import convert_subject, inspect
from exporters.study import study
from tests.exporters.networks import BatchStatisticsByHand, Inside

torch.set_num_threads(1)


class MinibatchDeviation(nn.Module):
    """As in StyleGAN's discriminator (Karras et al. 2018, https://arxiv.org/abs/1710.10196)."""

    def forward(self, x):
        deviation = x.std(0).mean()
        return torch.cat([x, deviation.expand(x.shape[0], 1)], dim=1)


class Sorting(nn.Module):
    def forward(self, x):
        return x.sort(dim=0).values


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x):
        return self.layer(x[:, None].expand(-1, 3, -1)).mean(1)


def movement(model, x):
    subject = inspect(model, x)
    with torch.no_grad():
        return movement_by_neighbours(subject.wide, subject.example, subject.dimensions)


@pytest.mark.parametrize("model", [BatchStatisticsByHand(), MinibatchDeviation(), Sorting()])
def test_a_row_that_depends_on_its_neighbours_moves(model):
    assert movement(model, torch.randn(3, 4)) > 1e-3


@pytest.mark.parametrize(
    "model", [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), Attention()]
)
def test_a_row_that_does_not_stays(model):
    assert movement(model, torch.randn(3, 4)) <= NOISE


def test_a_model_with_a_batch_of_one_is_tried_with_more():
    assert movement(Sorting(), torch.randn(1, 4)) > 1e-3


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (Inside(BatchStatisticsByHand()), ("body.1",)),
        (Inside(MinibatchDeviation()), ("body.1",)),
        (Inside(nn.LayerNorm(4)), ()),
        (Inside(Sorting()), ()),
    ],
)
def test_layers_that_reduce_over_the_batch_are_named(model, layers):
    subject = inspect(model, torch.randn(3, 4))
    converted = convert_subject(subject)

    assert layers_over_batch(converted.program, subject.dimensions) == layers


def test_statistics_of_the_batch_before_a_reduction_are_named_where_they_are_allowed():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(3, track_running_stats=False)

        def forward(self, x):
            return self.bn(x).mean(-1)

    subject = study(Network().eval(), torch.rand(4, 3, 5), batch_allowed=True)
    assert subject.converted.batch_dependent == ("bn",)
