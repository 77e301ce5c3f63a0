import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from normserve.cli import main
from tests.bundle.checks.texts import normal
from tests.bundle.onnx_models import save
from tests.bundle.precision.models import inputs, perceptron
from tests.service.tiny import write_verified


def call(*arguments):
    return CliRunner().invoke(main, ["diagnose", *map(str, arguments)])


@pytest.fixture
def right(tmp_path):
    return save(perceptron(), tmp_path / "right.onnx")


@pytest.fixture
def wrong(tmp_path):
    other = perceptron(v=normal(32, 4, seed=4) + np.float32(1e-3))
    return save(other, tmp_path / "wrong.onnx")


def test_two_files_that_agree_end_with_0(right):
    result = call(right, right)
    assert result.exit_code == 0
    assert "agrees" in result.output


def test_two_files_that_differ_end_with_1_the_layer_and_the_cause(right, wrong):
    result = call(right, wrong)
    assert result.exit_code == 1
    assert "<- first" in result.output
    assert "likely cause: weights" in result.output
    assert "shows it" in result.output


def test_json_is_one_document_and_nothing_else(right, wrong):
    (diagnosis,) = json.loads(call(right, wrong, "--json").output)
    assert diagnosis["verdict"] == "diverges"
    assert diagnosis["first"]["value"] == "y"
    assert diagnosis["cause"]["kind"] == "weights"


def test_the_output_folder_holds_the_diagnosis_and_the_reproduction(right, wrong, tmp_path):
    folder = tmp_path / "found"
    call(right, wrong, "--output", folder)
    assert json.loads((folder / "diagnosis.json").read_bytes())[0]["cause"]["kind"] == "weights"
    onnx.checker.check_model(onnx.load_model(folder / "reproduction" / "model.onnx"))
    names = {path.name for path in (folder / "reproduction" / "test_data_set_0").iterdir()}
    assert names == {"input_0.pb", "output_0.pb"}


def test_a_file_alone_is_run_in_several_ways(right):
    result = call(right, "--all")
    assert result.exit_code == 0
    assert result.output.count("agrees") == 3
    assert "LayerNormalization" in result.output


def test_inputs_are_read_from_npz_and_from_test_data(right, wrong, tmp_path):
    np.savez(tmp_path / "inputs.npz", **inputs(3, 16))
    assert call(right, right, "--inputs", tmp_path / "inputs.npz").exit_code == 0
    folder = tmp_path / "found"
    call(right, wrong, "--output", folder)
    model = folder / "reproduction" / "model.onnx"
    result = call(model, model, "--inputs", folder / "reproduction" / "test_data_set_0")
    assert result.exit_code == 0


def test_a_bundle_is_diagnosed_on_its_golden_sample(tmp_path):
    bundle = write_verified(tmp_path, "scaling")
    assert call(bundle.path).exit_code == 0
    assert call(bundle.path.parent).exit_code == 0  # the latest version


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--inputs", "nonsense.npz"], "no .npz file"),
        (["--against", "resnet"], "needs a bundle"),
        (["--checkpoint", "nonsense.npz"], "goes with --against"),
    ],
)
def test_what_cannot_be_diagnosed_ends_with_2(right, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nonsense.npz").write_bytes(b"nonsense")
    result = call(right, *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    result = call(tmp_path)
    assert result.exit_code == 2
    assert "no bundle" in result.output
