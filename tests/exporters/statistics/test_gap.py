import pytest
import torch
from torch import nn

from exporters.errors import InputsInvalid, OutputsInvalid, RandomAtInference
from exporters.statistics import TrainEvalGap, measure_gap
from models.norms import SwitchableNorm2d
from tests.exporters.networks import Noisy
from tests.exporters.statistics.networks import conv_net, data, trained

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def ordinary():
    return measure_gap(trained(conv_net()), [data(20), data(50, seed=2)])


def test_the_gap_of_an_ordinary_network_shrinks_like_sampling_noise(ordinary):
    assert [size.size for size in ordinary.sizes] == [2, 4, 8, 16, 32, 64]
    assert ordinary.sizes[-1].distance < ordinary.sizes[0].distance / 3
    assert 0.35 < ordinary.decay < 0.8
    assert all(size.lowest <= size.distance <= size.highest for size in ordinary.sizes)


def test_a_layers_distance_is_what_sampling_explains(ordinary):
    first = ordinary.layers[0]
    assert first.layer == "1"
    for measured, expected in zip(first.mean_distances, first.expected_means, strict=True):
        assert 0.3 * expected < measured < 2 * expected


def test_running_statistics_of_other_data_leave_a_gap_that_stays():
    model = trained(conv_net())
    model[1].running_mean.add_(3)
    gap = measure_gap(model, [data(64)])
    assert gap.decay < 0.25
    assert gap.sizes[-1].distance > 0.25
    assert not gap.agreements[0].agrees


def test_an_instance_norm_with_running_statistics_has_a_gap_that_stays():
    norm = nn.InstanceNorm2d(2, track_running_stats=True)
    gap = measure_gap(trained(norm), [data(64)])
    assert gap.decay < 0.1
    assert gap.agreements[0].agrees


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm([2, 8, 8]),
        nn.GroupNorm(1, 2),
        nn.InstanceNorm2d(2, affine=True),
        nn.RMSNorm(8),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 3)),
    ],
)
def test_norms_without_running_statistics_have_none_and_that_is_measured(norm):
    gap = measure_gap(nn.Sequential(norm, nn.Dropout(0.5)), [data(8)])
    assert [size.distance for size in gap.sizes] == [0, 0, 0]
    assert not gap.differs


def test_switchable_norm_has_one():
    assert measure_gap(trained(SwitchableNorm2d(2)), [data(8)]).differs


def test_sizes_that_there_are_too_few_rows_for_are_left_out():
    gap = measure_gap(trained(conv_net()), [data(5)])
    assert [size.size for size in gap.sizes] == [2, 4]
    assert gap.rows == 5
    assert measure_gap(trained(conv_net()), [data(1)]).sizes == ()


def test_a_metric_is_judged_in_batches_of_each_size():
    model = trained(conv_net())
    truth = model(data(30, seed=5)).argmax(1)

    def accuracy(judged):
        return float((judged(data(30, seed=5)).argmax(1) == truth).float().mean())

    gap = measure_gap(model, [data(64)], sizes=(2, 16), metric=accuracy)
    assert gap.metric_in_eval == 1
    assert gap.sizes[0].metric < gap.sizes[1].metric < 1


class Mean(nn.Module):
    def forward(self, x):
        return x.mean()


def test_a_metric_needs_outputs_that_have_rows():
    with pytest.raises(OutputsInvalid, match="axis 0 counts rows"):
        measure_gap(Mean(), [data(8)], sizes=(2,), metric=lambda model: float(model(data(8))))


def test_it_is_the_same_at_every_call_and_survives_json(ordinary):
    again = measure_gap(trained(conv_net()), [data(20), data(50, seed=2)])
    assert again == ordinary
    assert TrainEvalGap.model_validate_json(ordinary.model_dump_json()) == ordinary


def test_progress_is_told():
    told = []
    measure_gap(
        trained(conv_net()), [data(8)], sizes=(2, 4), progress=lambda *said: told.append(said)
    )
    assert told == [(0, 2, "batches of 2"), (1, 2, "batches of 4"), (2, 2, "")]


def test_a_layer_that_cannot_train_on_the_data_is_an_error_that_says_why():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(2, track_running_stats=True))
    with pytest.raises(InputsInvalid, match="more than 1 spatial element"):
        measure_gap(model.eval(), [data(4)])


def test_a_model_that_draws_random_numbers_has_no_gap_to_be_measured():
    with pytest.raises(RandomAtInference, match="another answer each time"):
        measure_gap(nn.Sequential(trained(conv_net()), Noisy()), [data(8)])


def test_the_model_stays_as_it_is():
    model = trained(conv_net()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    measure_gap(model, [data(8)])
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
