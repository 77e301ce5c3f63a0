import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm as hooked_spectral_norm
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from exporters.errors import InputsInvalid
from exporters.statistics import measure_axes
from models.norms import (
    AdaptiveInstanceNorm2d,
    FilterResponseNorm2d,
    LayerNorm2d,
    PixelNorm,
    SwitchableNorm1d,
    SwitchableNorm2d,
)

torch.set_num_threads(1)

IMAGES = torch.zeros(3, 8, 5, 6)
TOKENS = torch.zeros(3, 7, 8)


@pytest.mark.parametrize(
    ("layer", "example", "train", "in_eval"),
    [
        (nn.BatchNorm2d(8), IMAGES, "N, H, W", "-"),
        (nn.BatchNorm1d(7), TOKENS, "N, L", "-"),
        (nn.BatchNorm2d(8, track_running_stats=False), IMAGES, "N, H, W", "N, H, W"),
        (nn.LayerNorm([8, 5, 6]), IMAGES, "C, H, W", "C, H, W"),
        (LayerNorm2d(8), IMAGES, "C", "C"),
        (nn.InstanceNorm2d(8), IMAGES, "H, W", "H, W"),
        (nn.InstanceNorm2d(8, track_running_stats=True), IMAGES, "H, W", "-"),
        (nn.GroupNorm(4, 8), IMAGES, "C (2 of 8), H, W", "C (2 of 8), H, W"),
        (nn.GroupNorm(1, 8), IMAGES, "C, H, W", "C, H, W"),
        (SwitchableNorm2d(8), IMAGES, "N, C, H, W", "C, H, W"),
        (SwitchableNorm1d(8), torch.zeros(4, 8), "N, C", "C"),
        (nn.RMSNorm(6), IMAGES, "C", "C"),
        (PixelNorm(), IMAGES, "C", "C"),
        (FilterResponseNorm2d(8), IMAGES, "H, W", "H, W"),
        (nn.LocalResponseNorm(3), IMAGES, "C (3 of 8)", "C (3 of 8)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_the_axes_are_those_of_the_papers(layer, example, train, in_eval):
    found = measure_axes(layer, example)
    assert (str(found.train), str(found.eval)) == (train, in_eval)
    assert found.train.batch_dependent == ("N" in train)
    assert found.eval.batch_dependent == ("N" in in_eval)


def learned(layer, example=IMAGES, **options):
    return {
        found.parameter: found.axes for found in measure_axes(layer, example, **options).learned
    }


def test_what_a_parameter_belongs_to_is_measured():
    assert learned(nn.BatchNorm2d(8)) == {"weight": ("C",), "bias": ("C",)}
    assert learned(nn.LayerNorm([8, 5, 6]))["weight"] == ("C", "H", "W")
    assert learned(SwitchableNorm2d(8))["mean_weight"] == ()
    assert learned(nn.LayerNorm(8), TOKENS, names="NLC")["weight"] == ("C",)
    assert learned(nn.BatchNorm2d(8, affine=False)) == {}


def test_features_that_are_last_are_found_by_what_the_parameters_belong_to():
    assert measure_axes(nn.LayerNorm(6), IMAGES).names == ("N", "H", "W", "C")
    assert measure_axes(nn.LayerNorm(8), TOKENS).names == ("N", "L", "C")
    assert measure_axes(nn.LayerNorm([8, 5, 6]), IMAGES).names == ("N", "C", "H", "W")


def test_channels_with_a_scale_of_zero_hide_nothing():
    layer = nn.GroupNorm(4, 8)
    layer.weight.data[::2] = 0
    assert str(measure_axes(layer, IMAGES).eval) == "C (2 of 8), H, W"


@pytest.mark.parametrize(
    ("reparametrize", "kind", "axes"),
    [
        (weight_norm, "Conv2d + WeightNorm", "I, kH, kW"),
        (spectral_norm, "Conv2d + SpectralNorm", "O, I, kH, kW"),
        (hooked_spectral_norm, "Conv2d + SpectralNorm", "O, I, kH, kW"),
    ],
)
def test_normalized_weights_share_a_norm_among_themselves_and_none_with_data(
    reparametrize, kind, axes
):
    torch.manual_seed(0)
    found = measure_axes(reparametrize(nn.Conv2d(8, 4, 3)), IMAGES)
    assert found.kind == kind
    assert (str(found.train), str(found.eval)) == ("-", "-")
    (weight,) = found.weights
    assert ", ".join(map(str, weight.axes)) == axes


def test_a_layer_with_a_second_input_is_measured_with_that_held_fixed():
    layer = AdaptiveInstanceNorm2d(8, 4)
    found = measure_axes(layer, IMAGES, others=(torch.rand(3, 4, dtype=torch.float64),))
    assert str(found.eval) == "H, W"


def test_the_layer_stays_as_it_is():
    layer = nn.BatchNorm2d(8).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    measure_axes(layer, IMAGES)
    assert layer.training
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert layer.weight.dtype == torch.float32


def test_an_input_that_does_not_fit_is_an_error_that_says_so():
    with pytest.raises(InputsInvalid, match=r"BatchNorm2d does not run .* shape \(3, 7, 8\)"):
        measure_axes(nn.BatchNorm2d(8), TOKENS)
