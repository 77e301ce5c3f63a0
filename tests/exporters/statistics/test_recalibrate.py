import pytest
import torch
from torch import nn

from exporters.errors import InputsInvalid
from exporters.statistics import compare_recalibrated, measure_agreement, measure_gap, recalibrate
from models.norms import SwitchableNorm2d
from tests.exporters.statistics.networks import conv_net, data, trained

torch.set_num_threads(1)


def furthest(model, calls):
    return max(
        max(found.mean_distance, found.variance_distance)
        for found in measure_agreement(model, calls)
    )


def statistics(model):
    return {name: value for name, value in model.state_dict().items() if "running" in name}


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_every_layer_then_has_the_statistics_of_its_own_input_however_the_data_is_cut(cut):
    calls = list(data(64).split(cut))
    assert furthest(recalibrate(conv_net(), calls), calls) < 1e-6


def test_averaging_batch_moments_in_training_mode_does_not_get_there():
    calls = list(data(64).split(4))
    model = conv_net().train()
    for norm in (model[1], model[4]):
        norm.momentum = None  # torch's cumulative average, as update_bn has it
    with torch.no_grad():
        for x in calls:
            model(x)
    assert furthest(model.eval(), calls) > 0.05


def test_it_ends_where_it_ends_wherever_it_began():
    calls = [data(64)]
    spoiled = trained(conv_net())
    spoiled[1].running_var.mul_(100)
    spoiled[4].running_mean.add_(7)
    one, other = (statistics(recalibrate(model, calls)) for model in (conv_net(), spoiled))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value)


def test_the_gap_before_and_after_is_shown():
    spoiled = trained(conv_net())
    spoiled[1].running_mean.add_(3)
    mended = recalibrate(spoiled, [data(64)])
    shown = compare_recalibrated(spoiled, mended, [data(64, seed=3)], sizes=(2, 32))
    assert shown.after.sizes[-1].distance < shown.before.sizes[-1].distance / 4
    assert not shown.before.agreements[0].agrees
    assert all(found.agrees for found in shown.after.agreements)


def test_the_unbiased_variance_is_kept_as_torch_does():
    x = torch.randn(8, 3)
    found = recalibrate(nn.BatchNorm1d(3), [x])
    torch.testing.assert_close(found.running_var, x.var(0))


@pytest.mark.parametrize(
    "norm", [nn.InstanceNorm2d(2, track_running_stats=True), SwitchableNorm2d(2)]
)
def test_other_layers_with_running_statistics_are_recalibrated_too(norm):
    calls = [data(32, shift=2)]
    assert furthest(recalibrate(norm, calls), calls) < 1e-6


def test_the_model_stays_as_it_is():
    model = trained(conv_net()).train()
    before = {name: value.clone() for name, value in statistics(model).items()}
    recalibrate(model, [data(16, shift=2)])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in statistics(model).items())


def test_layers_that_are_deep_behind_exploding_ones_get_their_turn():
    deep = nn.Sequential(
        *(layer for _ in range(6) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)))
    )
    for layer in deep[::2]:
        layer.weight.data.mul_(1e9)
    mended = recalibrate(deep, [data(16)])
    assert mended(data(16, seed=4)).abs().max() < 100
    assert measure_gap(mended, [data(16)], sizes=(16,)).sizes[0].distance < 0.01


def test_a_model_without_running_statistics_has_nothing_to_recalibrate():
    with pytest.raises(InputsInvalid, match="nothing to recalibrate"):
        recalibrate(nn.LayerNorm(8), [data(16)])


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        return x


def test_layers_that_see_no_data_are_said_to():
    with pytest.raises(InputsInvalid, match="no layer with running statistics saw"):
        recalibrate(Unused(), [data(16)])


def test_a_handful_of_rows_is_refused():
    with pytest.raises(InputsInvalid, match="saw 3 rows"):
        recalibrate(conv_net(), [data(3)])


def test_data_that_is_not_finite_is_refused():
    x = data(16)
    x[0] = torch.nan
    with pytest.raises(InputsInvalid, match="input of layer '1'"):
        recalibrate(conv_net(), [x])
