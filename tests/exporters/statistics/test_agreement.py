import torch
from torch import nn

from exporters.statistics import measure_agreement
from tests.exporters.statistics.networks import conv_net, data, trained

torch.set_num_threads(1)


def test_statistics_of_the_same_distribution_agree():
    first, second = measure_agreement(trained(conv_net()), [data(64)])
    assert first.agrees
    assert second.agrees
    assert (first.layer, first.kind, first.rows) == ("1", "BatchNorm2d", 64)


def test_statistics_of_a_shifted_distribution_do_not():
    first, _ = measure_agreement(trained(conv_net()), [data(64, shift=3)])
    assert not first.agrees
    assert first.mean_distance > 0.5
    assert first.excess > 1


def test_statistics_of_a_louder_distribution_do_not():
    first, _ = measure_agreement(trained(conv_net()), [data(64, scale=4)])
    assert not first.agrees
    assert first.variance_distance > 2


def test_distances_are_in_the_units_that_the_layer_divides_by():
    norm = nn.BatchNorm1d(1, eps=0.0).eval()
    norm.running_mean.fill_(5.0)
    norm.running_var.fill_(4.0)
    x = torch.tensor([[9.0], [11.0]]).repeat(8, 1)
    (found,) = measure_agreement(norm, [x])
    assert found.worst_mean == 2.5
    assert found.mean_distance == 2.5
    assert abs(found.worst_ratio - (16 / 15) / 4) < 1e-12


def test_noise_of_few_rows_is_not_taken_for_a_disagreement():
    model = trained(conv_net())
    few = [measure_agreement(model, [data(8, seed=seed)])[0] for seed in range(20)]
    assert all(found.agrees for found in few)
    assert all(found.is_known for found in few)


def test_fewer_rows_are_not_judged():
    (first, _) = measure_agreement(trained(conv_net()), [data(4)])
    assert not first.is_known


def test_a_frozen_batch_norm_of_another_library_is_compared_too():
    class FrozenBatchNorm2d(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("running_mean", torch.full((2,), 50.0))
            self.register_buffer("running_var", torch.ones(2))

        def forward(self, x):
            return (x - self.running_mean[:, None, None]) / self.running_var[:, None, None].sqrt()

    (found,) = measure_agreement(FrozenBatchNorm2d(), [data(16)])
    assert not found.agrees
    assert found.worst_mean < -40


def test_inputs_that_are_not_finite_agree_with_nothing():
    x = data(16)
    x[3] = torch.inf
    first, _ = measure_agreement(trained(conv_net()), [x])
    assert not first.agrees


def test_the_model_stays_as_it_is():
    model = trained(conv_net()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    measure_agreement(model, [data(16)])
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
