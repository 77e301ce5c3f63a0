import pytest
import torch
from torch import nn

from exporters.statistics import Kind, problems_of, tracked_layers

torch.set_num_threads(1)


def norm(channels=8, **options):
    """A batch norm as a training leaves it."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.BatchNorm2d(channels, **options)
    layer.running_mean.copy_(torch.randn(channels, generator=generator))
    layer.running_var.copy_(0.1 + torch.rand(channels, generator=generator))
    layer.num_batches_tracked.fill_(1000)
    return layer


def problems(layer):
    return [
        found for tracked in tracked_layers(nn.Sequential(layer)) for found in problems_of(tracked)
    ]


def kinds(layer):
    return [found.kind for found in problems(layer)]


def test_an_ordinary_layer_has_none():
    assert problems(norm()) == []


def test_statistics_that_came_without_a_counter_are_as_good():
    layer = norm()
    layer.num_batches_tracked.zero_()
    assert problems(layer) == []


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -1e-6])
def test_a_variance_that_is_none_is_invalid_and_nothing_else_is_looked_at(value):
    layer = norm(momentum=1.0)
    layer.running_var[5] = value
    (found,) = problems(layer)
    assert found.kind is Kind.INVALID
    assert found.channels == (5,)
    assert "in channel 5 (1 of 8 channels)" in found.detail


def test_a_mean_that_is_not_finite_is_invalid():
    layer = norm()
    layer.running_mean[2] = torch.nan
    assert kinds(layer) == [Kind.INVALID]


def test_a_fresh_layer_was_never_updated():
    assert kinds(nn.BatchNorm2d(3)) == [Kind.UNTOUCHED]
    assert kinds(nn.SyncBatchNorm(3)) == [Kind.UNTOUCHED]
    assert kinds(nn.InstanceNorm2d(3, track_running_stats=True)) == [Kind.UNTOUCHED]


def test_initial_statistics_beside_a_trained_scale_are_said_to_be():
    layer = nn.BatchNorm2d(3)
    layer.weight.data.mul_(2)
    layer.num_batches_tracked.fill_(100)
    (found,) = problems(layer)
    assert found.kind is Kind.UNTOUCHED
    assert "beside a scale and shift that were trained" in found.detail


class FrozenBatchNorm2d(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.register_buffer("weight", torch.full((3,), scale))
        self.register_buffer("running_mean", torch.zeros(3))
        self.register_buffer("running_var", torch.ones(3))


def test_a_frozen_layer_with_nothing_in_it_is_an_identity_and_one_with_a_scale_is_not():
    assert kinds(FrozenBatchNorm2d(1.0)) == []
    assert kinds(FrozenBatchNorm2d(2.0)) == [Kind.UNTOUCHED]


def test_an_average_that_is_still_mostly_its_initial_value_was_updated_too_few_times():
    layer = norm(momentum=0.01)
    layer.num_batches_tracked.fill_(50)
    (found,) = problems(layer)
    assert found.kind is Kind.BARELY_UPDATED
    assert found.measured == pytest.approx(0.99**50)

    layer.num_batches_tracked.fill_(500)
    assert problems(layer) == []


def test_a_channel_without_variance_amplifies_what_it_gets():
    layer = norm()
    layer.running_var[3] = 1e-9
    (found,) = problems(layer)
    assert found.kind is Kind.AMPLIFYING
    assert found.channels == (3,)
    assert found.measured == pytest.approx((1e-5) ** -0.5, rel=1e-3)


def test_a_channel_that_hardly_reaches_the_output_does_not_count():
    layer = norm()
    layer.running_var[3] = 1e-9
    layer.weight.data[3] = 1e-4
    assert problems(layer) == []


def test_a_large_epsilon_keeps_a_channel_from_amplifying():
    layer = norm(eps=1e-3)
    layer.running_var[3] = 1e-9
    assert problems(layer) == []


def test_a_mean_that_dwarfs_the_deviation_loses_half_of_the_digits():
    layer = norm()
    layer.running_mean[1] = 1e4
    (found,) = problems(layer)
    assert found.kind is Kind.CANCELLING
    assert found.channels == (1,)


def test_fewer_digits_are_lost_sooner():
    layer = norm()
    layer.running_mean[1] = 100.0
    assert problems(layer) == []
    assert kinds(layer.half()) == [Kind.CANCELLING]


@pytest.mark.parametrize("momentum", [0.5, 1.0, 1.5])
def test_a_large_momentum_forgets(momentum):
    (found,) = problems(norm(momentum=momentum))
    assert found.kind is Kind.FORGETFUL


def test_a_momentum_that_was_never_applied_forgot_nothing():
    layer = norm(momentum=0.99)
    layer.num_batches_tracked.zero_()
    assert problems(layer) == []


@pytest.mark.parametrize("momentum", [None, 0.0, 0.01, 0.1, 0.3])
def test_cumulative_averages_and_slow_ones_do_not(momentum):
    assert problems(norm(momentum=momentum)) == []


def test_the_momentum_of_other_libraries_may_mean_something_else_and_is_left_alone():
    from models.norms import SwitchableNorm2d

    layer = SwitchableNorm2d(3, momentum=0.9)
    layer.running_mean.add_(1)
    assert problems(layer) == []
