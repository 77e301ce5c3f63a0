import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from normserve.cli import main

FACTORY = """
import torch
from torch import nn

def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), torch.zeros(2, 3)

def alone():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
"""


def axes(*arguments):
    return CliRunner().invoke(main, ["axes", *arguments])


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "their_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "their_models", raising=False)
    return "their_models"


def test_the_table_of_the_seven_normalizations_is_a_measurement():
    norms = {norm["norm"]: norm for norm in json.loads(axes("--json").stdout)["norms"]}
    measured = {
        name: tuple(
            "".join(axis["name"] for axis in norm[mode]["axes"]) for mode in ("train", "eval")
        )
        for name, norm in norms.items()
    }
    assert measured == {
        "BN": ("NHW", ""),
        "LN": ("CHW", "CHW"),
        "LN (tokens)": ("C", "C"),
        "IN": ("HW", "HW"),
        "GN": ("CHW", "CHW"),
        "WN": ("", ""),
        "SN": ("NCHW", "CHW"),
        "RMS": ("C", "C"),
    }
    dependent = {name for name, norm in norms.items() if norm["train"]["batch_dependent"]}
    assert dependent == {"BN", "SN"}
    assert not any(norm["eval"]["batch_dependent"] for norm in norms.values())
    assert [axis["name"] for axis in norms["WN"]["weights"][0]["axes"]] == ["I", "kH", "kW"]
    assert norms["GN"]["train"]["axes"][0]["span"] == 2


def test_people_get_a_table():
    result = axes()
    assert result.exit_code == 0
    assert "N, H, W" in result.stdout
    assert "C (2 of 8), H, W" in result.stdout
    assert "large language models" in " ".join(result.stdout.split())


def test_a_network_of_the_zoo_is_measured_layer_by_layer():
    result = axes("lstm_weightnorm", "--json")
    network = json.loads(result.stdout)
    assert [layer["layer"] for layer in network["layers"]] == ["lstm", "head"]
    assert (network["train"], network["eval"]) == (False, False)


def test_anybodys_network_is_measured(factory):
    result = axes(f"{factory}:network")
    assert result.exit_code == 0
    assert "BatchNorm1d" in result.stdout
    assert "Rows of the network depend on one another: yes / no." in result.stdout


def test_what_a_network_takes_can_be_described(factory):
    assert axes(f"{factory}:alone").exit_code == 2
    result = axes(f"{factory}:alone", "--input", "input:FP32[batch,3]")
    assert result.exit_code == 0
    assert "LayerNorm" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["resnot"], 2, "no network of the zoo"),
        (["nowhere:model"], 1, "cannot be imported"),
        (["resnet", "--input", "pixels"], 2, "wanted NAME:DATATYPE[SIZES]"),
        (["--input", "x:FP32[batch,3]"], 2, "go with a package.module:factory"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, status, said):
    result = axes(*arguments)
    assert result.exit_code == status
    assert said in " ".join(result.output.split())


def test_the_commands_json_is_all_that_it_prints_on_standard_output():
    done = subprocess.run(
        [sys.executable, "-m", "normserve", "axes", "lstm_weightnorm", "--json"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert json.loads(done.stdout)["layers"]
