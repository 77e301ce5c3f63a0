"""eval-parity and fold-parity: a whole file, and each norm layer of it."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from exporters.checks.library import eval_parity, fold_parity
from exporters.graph import optimize
from exporters.study import study

torch.set_num_threads(1)

IMAGES = torch.rand(2, 3, 8, 8)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
    )
    for layer in (model[1], model[4]):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    return model.eval()


def test_a_sound_file_passes_for_each_output():
    (finding,) = eval_parity.check(study(network(), IMAGES, output_names=["scores"]))
    assert finding.status == "pass"
    assert 0 < finding.measured <= finding.tolerance.atol
    assert "torch's own error" in finding.tolerance.source


@pytest.fixture
def spoiled(monkeypatch):
    """The weight of the second convolution is off by a thousandth after the fold."""

    def spoil(model):
        rewrites = optimize(model)
        node = next(n for n in model.graph if n.name.startswith("3/"))
        weight = node.inputs[1]
        weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(1.001))
        return rewrites

    monkeypatch.setattr("exporters.convert.optimize", spoil)
    return study(network(), IMAGES, output_names=["scores"])


def test_a_file_that_computes_something_else_fails_with_the_worst_element(spoiled):
    (finding,) = eval_parity.check(spoiled)
    assert finding.status == "fail"
    assert "output 'scores' is outside its tolerance" in finding.meaning
    assert "worst at (" in finding.meaning
    assert finding.measured > finding.tolerance.atol


def test_a_wrong_fold_is_named_and_the_right_one_is_not(spoiled):
    finding = fold_parity.check(spoiled)
    assert finding.status == "fail"
    assert finding.meaning.startswith("1 of 2 layers off: '4' (BatchNorm2d, folded")
    assert finding.measured > finding.tolerance.atol


def test_right_folds_pass():
    finding = fold_parity.check(study(network(), IMAGES))
    assert (finding.status, finding.measured <= finding.tolerance.atol) == ("pass", True)


def test_layers_whose_value_is_gone_are_counted():
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3), nn.LayerNorm(3)).eval()
    finding = fold_parity.check(study(model, torch.rand(2, 6)))
    assert finding.status == "pass"
    assert finding.meaning.endswith("1 more layer without a value of its own in the file")


def test_a_model_without_norms_has_nothing_to_compare():
    finding = fold_parity.check(study(nn.Linear(3, 3), torch.rand(2, 3)))
    assert finding.status == "not_applicable"


class OnlySingle(nn.Module):
    def forward(self, x):
        return x @ torch.ones(3, 3, dtype=torch.float32).to(x)[:, : self.width(x)]

    def width(self, x):
        if x.dtype is not torch.float32:
            raise TypeError("float32 only")
        return 2


def test_without_a_float64_reference_the_tolerance_is_stated_and_that_is_a_warning():
    (finding,) = eval_parity.check(study(OnlySingle(), torch.rand(2, 3)))
    assert finding.status == "warn"
    assert "stated, not derived" in finding.tolerance.source
