"""``normserve export`` of somebody's own model, with real inputs from files."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bundle import read_bundle
from normserve.cli import main

torch.set_num_threads(1)

NETWORK = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).eval()
    return model, {"input": torch.rand(2, 4)}


def with_references():
    model, example = build()
    return model, example, [{"input": torch.rand(5, 4)}]


def alone():
    return build()[0]


def raises():
    raise KeyError("weights")


def wants(path):
    return build()


def a_number():
    return 5, {"input": torch.rand(2, 4)}


def four_things():
    return *with_references(), "more"


def nothing():
    return ()
"""
INPUT = "input:FP32[batch,4]"


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "ownnetwork.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "ownnetwork"


def export(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_real_inputs_from_a_file_become_golden_samples_and_recalibrate(package, tmp_path):
    real = np.random.default_rng(0).normal(3, 2, (64, 4)).astype(np.float32)
    np.savez(tmp_path / "real.npz", input=real)
    result = export(f"{package}:build", "--reference", "real.npz", "--recalibrate")
    assert result.exit_code == 0, result.output
    assert "findings pass" in result.output
    found = read_bundle(tmp_path / "model_repository/build/1").manifest.findings
    _, told = (finding for finding in found if finding.check == "train-eval-gap")
    assert "estimated anew from 64 rows" in told.meaning
    (statistics,) = (finding for finding in found if finding.check == "running-statistics")
    assert statistics.status == "pass"


def test_a_factory_may_bring_its_real_inputs(package, tmp_path):
    assert export(f"{package}:with_references").exit_code == 0
    folder = tmp_path / "model_repository" / "with_references" / "1" / "test_data_set_0"
    assert folder.is_dir()


def test_an_int8_bundle_is_exported_validated_and_served(package, tmp_path):
    np.savez(tmp_path / "real.npz", input=np.random.default_rng(0).random((64, 4), np.float32))
    result = export(f"{package}:build", "--reference", "real.npz", "--precision", "int8")
    assert result.exit_code == 0, result.output
    conversion = read_bundle(tmp_path / "model_repository/build/1").manifest.conversion
    assert (conversion.precision, conversion.calibration_rows) == ("int8", 48)
    validated = CliRunner().invoke(main, ["validate", "model_repository", "--json"])
    assert validated.exit_code == 0, validated.output
    assert '"as-served"' in validated.output


def test_int8_needs_real_inputs_and_says_how_to_give_them(package):
    result = export(f"{package}:build", "--precision", "int8")
    assert result.exit_code == 1
    assert "int8 takes reference_inputs (--reference)" in result.output


def test_what_may_be_lost_is_a_part(package):
    result = export(f"{package}:build", "--precision", "fp16", "--max-loss", "5")
    assert result.exit_code == 2
    assert "--max-loss" in result.output


def test_a_file_that_holds_no_arrays_is_refused(package, tmp_path):
    (tmp_path / "wrong.npz").write_bytes(b"nothing")
    result = export(f"{package}:build", "--reference", "wrong.npz")
    assert result.exit_code == 1
    assert "is no .npz of plain arrays" in result.output


def test_recalibration_without_real_inputs_is_refused(package):
    result = export(f"{package}:build", "--recalibrate")
    assert result.exit_code == 1
    assert "recalibration takes reference_inputs" in result.output


def test_networks_of_the_zoo_have_their_own_real_inputs(package, tmp_path):
    np.savez(tmp_path / "real.npz", pixels=np.zeros((1, 1, 8, 8), np.float32))
    result = export("resnet", "--reference", "real.npz")
    assert result.exit_code == 2
    assert "comes with its reference inputs" in result.output


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("raises", "called without arguments, raises KeyError: 'weights' (line "),
        ("wants", "wants() missing 1 required positional argument: 'path'"),
        ("a_number", "returns (int, dict); it has to return an nn.Module"),
        ("four_things", "returns (Sequential, dict, list, str); it has to return"),
        ("nothing", "returns (); it has to return"),
    ],
)
def test_a_factory_that_makes_no_model_is_told_so(package, tmp_path, factory, said):
    (tmp_path / "weights.safetensors").touch()  # never looked at
    result = export(f"{package}:{factory}", "--checkpoint", "weights.safetensors")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # no traceback
    assert said in result.output
    assert not (tmp_path / "model_repository").exists()


def test_an_input_that_is_described_twice_is_refused(package):
    result = export(f"{package}:alone", "--input", INPUT, "--input", "input:FP32[batch,8]")
    assert result.exit_code == 2
    assert "--input describes 'input' more than once" in result.output


@pytest.mark.parametrize("size", [10**12, 10**30])
def test_an_example_that_no_machine_can_hold_is_refused(package, size):
    result = export(f"{package}:alone", "--input", f"input:FP32[batch,{size}]")
    assert result.exit_code == 1
    assert f"shape (2, {size}) does not fit into this machine's memory" in result.output


def test_an_empty_name_is_no_name(package):
    result = export(f"{package}:build", "--name", "")
    assert result.exit_code == 1
    assert "'' cannot be a model's name" in result.output


def test_a_repository_that_cannot_be_written_is_told(package, tmp_path):
    (tmp_path / "file").touch()
    result = export(f"{package}:build", "--repository", "file")
    assert result.exit_code == 1
    assert "nothing can be written to 'file': Not a directory." in result.output
