"""Torch models as targets. The factories are in a module of their own in the working folder."""

import pytest
import torch

from tests.normserve.validate.cases import findings, run

FACTORIES = '''
import torch
from torch import nn

torch.set_num_threads(1)


def network():
    """Something to export."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()).eval()


def good():
    return network(), torch.ones(2, 3)


def dependent():
    return nn.BatchNorm1d(3, track_running_stats=False).eval(), torch.ones(2, 3)


def explodes():
    raise RuntimeError("no weights here")


def leaves():
    raise SystemExit(0)
'''


@pytest.fixture(autouse=True)
def _factories(tmp_path, monkeypatch):
    (tmp_path / "factories_to_validate.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def target(name):
    return f"factories_to_validate:{name}"


def test_a_model_passes_the_checks_of_both_libraries():
    done = run(target("good"), "--json")
    assert done.status == 0
    (examined,) = done.report["targets"]
    assert examined["kind"] == "network"
    assert examined["where"]["path"] == "factories_to_validate.py"
    assert examined["where"]["line"] == FACTORIES[: FACTORIES.index("def good")].count("\n") + 1
    assert {"eval-parity", "fold-parity", "determinism"} <= set(findings(done.report))


def test_what_an_export_refuses_fails_the_check_that_says_why():
    done = run(target("dependent"), "--json")
    assert done.status == 1
    made = findings(done.report)
    assert set(made) == {"batch-invariance"}
    assert "statistics of the batch" in made["batch-invariance"]["meaning"]


def test_a_check_that_is_skipped_may_fail_without_ending_the_examination():
    done = run(target("dependent"), "--json", "--skip", "batch-invariance")
    assert done.status == 0
    assert "eval-parity" in findings(done.report)


def test_a_model_can_be_described_on_the_command_line_and_get_weights(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    done = run(
        *(target("network"), "--input", "input:FP32[batch,3]", "--checkpoint", "weights.pt"),
        *("--check", "eval-parity", "--json"),
    )
    assert done.status == 0
    assert set(findings(done.report)) == {"eval-parity"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "there is no 'missing'"),
        ("network", "describe what it takes"),
        ("explodes", "raises RuntimeError: no weights here"),
        ("leaves", "ends the process"),
    ],
)
def test_what_makes_no_model_cannot_be_examined(name, said):
    done = run(target(name), "--json")
    assert done.status == 2
    assert said in done.report["targets"][0]["error"]


def test_an_input_that_is_not_well_described_says_what_one_looks_like():
    done = run(target("network"), "--input", "x(3)", "--json")
    assert done.status == 2
    assert "wanted NAME:DATATYPE[SIZES]" in done.report["targets"][0]["error"]


def test_an_input_that_the_model_does_not_take_is_told():
    done = run(target("network"), "--input", "x:FP32[batch,3]", "--json")
    assert done.status == 2
    assert "do not fit Sequential.forward(input)" in done.report["targets"][0]["error"]


def test_a_name_that_is_nothing_is_told_with_the_names_of_the_zoo():
    done = run("resnot", "--json")
    assert done.status == 2
    assert "resnet" in done.report["targets"][0]["error"]
