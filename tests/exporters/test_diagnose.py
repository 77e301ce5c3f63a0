import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from bundle import Bundle
from bundle.diagnose import CauseKind, Verdict
from exporters import InputsInvalid, export
from exporters.diagnose import diagnose_model
from tests.exporters.networks import trained

torch.set_num_threads(1)


def network():
    torch.manual_seed(0)
    return trained(
        nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)
        )
    ).eval()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(1)
    return export(
        network(),
        torch.randn(2, 3, 8, 8),
        name="network",
        repository=tmp_path_factory.mktemp("repository"),
    )


@pytest.fixture
def spoiled(bundle, tmp_path):
    """The bundle with the weight of one convolution times 1.001."""
    folder = tmp_path / "network" / "1"
    shutil.copytree(bundle.path, folder)
    model = onnx.load_model(folder / "model.onnx")
    conv = [node for node in model.graph.node if node.op_type == "Conv"][1]
    for tensor in model.graph.initializer:
        if tensor.name == conv.input[1]:
            wrong = numpy_helper.to_array(tensor) * np.float32(1.001)
            tensor.CopyFrom(numpy_helper.from_array(wrong, tensor.name))
    onnx.save_model(model, folder / "model.onnx")
    return Bundle(path=folder, manifest=bundle.manifest)


def found(bundle, model=None):
    return [each.diagnosis for each in diagnose_model(model or network(), bundle)]


def test_a_bundle_agrees_with_its_model_layer_by_layer(bundle):
    (diagnosis,) = found(bundle)
    assert diagnosis.verdict is Verdict.AGREES
    assert [step.layer for step in diagnosis.steps] == ["1", "2", "4"]


def test_a_wrong_fold_is_named_by_the_layer_that_was_folded(spoiled):
    (diagnosis,) = found(spoiled)
    assert diagnosis.verdict is Verdict.DIVERGES
    assert diagnosis.first.layer == "4"
    assert diagnosis.cause.kind is CauseKind.FOLD
    assert "'4'" in diagnosis.cause.meaning
    assert diagnosis.reproduction.reproduces
    assert diagnosis.reproduction.nodes == 1


def test_an_epsilon_that_was_changed_is_named_with_the_one_of_the_export(bundle):
    model = network()
    model[1].eps = 1e-2
    (diagnosis,) = found(bundle, model)
    assert diagnosis.first.layer == "1"
    assert diagnosis.cause.kind is CauseKind.EPSILON
    assert "'1' has epsilon 0.01, and had 1e-05" in diagnosis.cause.meaning


def test_statistics_of_another_checkpoint_are_named(bundle):
    model = network()
    model[4].running_mean += 0.5
    (diagnosis,) = found(bundle, model)
    assert diagnosis.first.layer == "4"
    assert diagnosis.cause.kind is CauseKind.WEIGHTS
    assert "'4' has mean" in diagnosis.cause.meaning


def test_weights_of_another_checkpoint_are_named(bundle):
    model = network()
    with torch.no_grad():
        model[0].weight *= 1.1
    (diagnosis,) = found(bundle, model)
    assert diagnosis.first.layer == "1"
    assert "0.weight" in diagnosis.cause.meaning


def test_a_model_in_training_mode_is_told_and_its_first_layer_named(bundle):
    against_eval, as_given = found(bundle, network().train())
    assert against_eval.verdict is Verdict.AGREES
    assert as_given.verdict is Verdict.DIVERGES
    assert as_given.cause.kind is CauseKind.TRAIN_MODE
    assert as_given.first.layer == "1"


def test_the_model_stays_as_it_is(bundle):
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found(bundle, model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_bundle_without_samples_is_refused(bundle, tmp_path):
    folder = tmp_path / "network" / "1"
    folder.mkdir(parents=True)
    shutil.copy(bundle.model_path, folder)
    with pytest.raises(InputsInvalid, match="golden samples"):
        diagnose_model(network(), Bundle(path=folder, manifest=bundle.manifest))
