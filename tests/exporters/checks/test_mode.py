import pytest
import torch
from torch import nn

from exporters.checks.library.mode import check
from exporters.study import study

torch.set_num_threads(1)

IMAGES = torch.rand(2, 3, 8, 8)


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.1), nn.ReLU())


def found(model):
    return [(finding.status, finding.meaning) for finding in check(study(model, IMAGES))]


def test_a_model_in_eval_mode_passes_and_its_dropout_is_counted():
    assert found(network().eval()) == [
        ("pass", "the model was in eval mode; 1 dropout layer without effect there")
    ]


def test_a_model_in_training_mode_is_a_warning():
    ((status, meaning),) = found(network().train())
    assert (status, meaning) == (
        "warn",
        "the model was in training mode; what was exported is its eval mode",
    )


def test_a_module_in_training_mode_in_a_model_in_eval_mode_is_named():
    model = network().eval()
    model[1].train()
    ((status, meaning),) = found(model)
    assert status == "warn"
    assert meaning.startswith("'1' is in training mode in a model in eval mode")


def test_affine_parts_that_are_trained_while_their_statistics_are_frozen_are_named():
    model = network().train()
    model[1].eval()
    remarks = dict(reversed(remark) for remark in found(model))
    assert any(said.startswith("'1' is with frozen statistics") for said in remarks)

    model[1].requires_grad_(requires_grad=False)
    assert not any("frozen statistics" in meaning for _, meaning in found(model))


class NeverEval(nn.Linear):
    def train(self, mode=True):
        del mode
        return super().train(mode=True)


def test_a_module_that_stays_in_training_mode_without_effect_is_a_warning():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), NeverEval(6, 6)).eval()
    assert ("warn", True) in {
        (status, "after model.eval(), without effect" in meaning)
        for status, meaning in found(model)
    }


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * 2


def test_a_buffer_that_calls_change_without_effect_is_a_warning():
    ((status, meaning),) = found(Counting().eval())
    assert status == "warn"
    assert "'calls'" in meaning


def test_batch_statistics_that_were_allowed_are_named():
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()
    (finding,) = check(study(model, IMAGES, batch_allowed=True))
    assert finding.status == "warn"
    assert "as was allowed, by '0'" in finding.meaning


@pytest.mark.parametrize("kind", [nn.LayerNorm(8), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3)])
def test_norms_without_running_statistics_are_not_called_frozen(kind):
    model = nn.Sequential(kind, nn.ReLU()).train()
    kind.eval()
    assert not any("frozen" in meaning for _, meaning in found(model))
