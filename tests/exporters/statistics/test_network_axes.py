import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from exporters.statistics import measure_network
from tests.exporters.networks import BatchStatisticsByHand, Noisy
from tests.exporters.statistics.networks import conv_net, data

torch.set_num_threads(1)


def test_every_layer_and_the_network_are_measured():
    found = measure_network(conv_net(), [data(2)])
    assert [(layer.layer, str(layer.train), str(layer.eval)) for layer in found.layers] == [
        ("1", "N, H, W", "-"),
        ("4", "N, H, W", "-"),
    ]
    assert (found.train, found.eval) == (True, False)
    assert found.unmeasured == {}


def test_rows_of_a_network_without_batch_norms_depend_on_nothing_else():
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Dropout(0.5))
    found = measure_network(model, [torch.rand(1, 7, 8)])
    assert (found.train, found.eval) == (False, False)
    assert found.layers[0].names == ("N", "L", "C")


def test_statistics_of_the_batch_by_hand_are_seen_in_the_network():
    found = measure_network(BatchStatisticsByHand(), [torch.rand(4, 3)])
    assert (found.train, found.eval) == (True, True)
    assert found.layers == ()


def test_random_answers_tell_nothing_about_rows():
    found = measure_network(Noisy(), [torch.rand(4, 3)])
    assert (found.train, found.eval) == (None, None)


def test_large_pictures_are_measured_in_a_part_where_the_layer_takes_one():
    model = nn.Sequential(nn.GroupNorm(2, 4), nn.LayerNorm([4, 32, 32]))
    group, layer = measure_network(model, [torch.rand(2, 4, 32, 32)]).layers
    assert group.shape == (3, 4, 7, 7)
    assert layer.shape == (3, 4, 32, 32)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = weight_norm(nn.LSTM(3, 4, batch_first=True), "weight_hh_l0")

    def forward(self, x):
        return self.lstm(x)[0]


def test_an_lstm_whose_weights_are_normalized_is_measured_in_its_weights():
    (found,) = measure_network(Recurrent(), [torch.rand(2, 5, 3)]).layers
    assert (found.train, found.eval) == (None, None)
    assert [axis.name for axis in found.weights[0].axes] == ["I"]


def test_integer_inputs_are_exchanged_too():
    model = nn.Sequential(nn.Embedding(20, 4), nn.Flatten(), nn.BatchNorm1d(12))
    found = measure_network(model, [torch.randint(20, (5, 3))])
    assert (found.train, found.eval) == (True, False)


def test_progress_is_told_of_each_layer():
    told = []
    measure_network(conv_net(), [data(2)], progress=lambda *said: told.append(said))
    assert told == [(0, 2, "1"), (1, 2, "4"), (2, 2, "")]
