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
"""


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
