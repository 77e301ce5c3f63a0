import math

import pytest
import torch
from torch import nn

from exporters.layers import norm_layers


def made(name, *bases, children=()):
    """A module class as another library would have it."""

    def forward(self, x):
        return x

    module = type(name, bases or (nn.Module,), {"forward": forward})()
    for number, child in enumerate(children):
        module.add_module(f"child{number}", child)
    return module


def names(model):
    return [layer.name for layer in norm_layers(model)]


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(2),
        nn.SyncBatchNorm(2),
        nn.InstanceNorm1d(2),
        nn.LayerNorm(2),
        nn.GroupNorm(1, 2),
        nn.RMSNorm(2),
        nn.LocalResponseNorm(2),
        made("LlamaRMSNorm"),
        made("FrozenBatchNorm2d"),
        made("SwitchableNorm2d"),
        made("FilterResponseNorm"),
        made("AdaIN"),
        made("PixelNorm"),
        made("ConvNextV2GRN"),
        made("ScaleNorm"),
        made("GlobalLayerNormalization"),
    ],
)
def test_norms_of_torch_and_of_other_libraries_are_found(layer):
    assert names(nn.Sequential(layer)) == ["0"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(2, 2),
        nn.ReLU(),
        made("NormalDistribution"),
        made("NoLayerNormConvLayer"),
        made("ResidualBlock"),
        made("ConvNormAct"),
        made("Conv2dNormActivation"),
        made("LinearNorm"),
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    ],
)
def test_other_layers_are_not(layer):
    assert names(nn.Sequential(layer)) == []


def test_a_block_that_contains_a_norm_is_not_one_itself():
    assert names(made("AdaLayerNorm", children=[nn.LayerNorm(2), nn.Linear(2, 2)])) == ["child0"]


def test_a_network_that_is_named_after_having_no_norm_is_none():
    assert names(made("NormFreeNet", children=[made("ScaledStdConv2d")])) == ["child0"]


def test_a_layer_under_two_names_is_one_layer_that_knows_both():
    norm = nn.LayerNorm(2)

    (layer,) = norm_layers(nn.ModuleDict({"first": norm, "second": norm}))

    assert (layer.name, layer.names) == ("first", {"first", "second"})


def test_standardized_convolutions_are_norms_of_weights():
    (layer,) = norm_layers(nn.Sequential(made("StdConv2d")))

    assert layer.on_weights


def test_running_statistics_are_taken_from_the_layer():
    norm = nn.BatchNorm1d(2, eps=1e-3, affine=False)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))

    (layer,) = norm_layers(nn.Sequential(norm))

    assert layer.statistics.mean == (1.0, 2.0)
    assert layer.statistics.variance == (1.0, 1.0)
    assert layer.statistics.scale is None
    assert layer.statistics.epsilon == 1e-3


def test_an_epsilon_that_is_written_into_the_code_is_unknown():
    frozen = made("FrozenBatchNorm2d")
    frozen.register_buffer("running_mean", torch.zeros(2))
    frozen.register_buffer("running_var", torch.ones(2))

    (layer,) = norm_layers(nn.Sequential(frozen))

    assert math.isnan(layer.statistics.epsilon)
