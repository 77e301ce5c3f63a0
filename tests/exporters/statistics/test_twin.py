import pytest
import torch
from torch import nn

from exporters.calls import Call
from exporters.errors import InputsInvalid
from exporters.statistics.twin import Twin
from tests.exporters.statistics.networks import conv_net, data

torch.set_num_threads(1)


def twin_of(model, x):
    return Twin(model, Call.of(model, x))


def modes(twin):
    return [module.training for module in twin.model]


def test_only_the_normalizations_train_and_everything_is_put_back():
    twin = twin_of(conv_net(), data(4))
    before = twin.model[1].running_mean.clone()
    with twin.training():
        assert [place for place, training in enumerate(modes(twin)) if training] == [1, 4]
        twin.run((data(4),))
        assert not torch.equal(twin.model[1].running_mean, before)
    assert not any(modes(twin))
    assert torch.equal(twin.model[1].running_mean, before)
    assert twin.model[1].num_batches_tracked == 0


class KeepsEval(nn.Module):
    """A detector's backbone: its batch norms stay in eval mode in training."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.norm(x)


def test_a_layer_that_the_model_itself_keeps_in_eval_mode_stays_there():
    twin = twin_of(KeepsEval(), data(4))
    with twin.training():
        assert not twin.model.norm.training


def vector(twin):
    """What spectral norm iterates on."""
    return dict(twin.model.named_buffers())["parametrizations.weight.0._u"]


def test_spectral_norm_iterates_in_training():
    twin = twin_of(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), torch.rand(2, 3))
    before = vector(twin).clone()
    with twin.training():
        twin.run((torch.rand(2, 3),))
        assert not torch.equal(vector(twin), before)
    assert torch.equal(vector(twin), before)


def test_a_model_that_raises_is_said_to():
    with pytest.raises(InputsInvalid, match=r"raises on calibration data of shape \(2, 5\)"):
        twin_of(nn.Linear(3, 3), torch.rand(2, 3)).run((torch.rand(2, 5),))
