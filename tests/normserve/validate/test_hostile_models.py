"""Names that a model brings, from the file to every report."""

import json

import numpy as np
import pytest
from junitparser import JUnitXml
from onnx import helper

from normserve.validate.text import visible
from tests.bundle.onnx_models import model, value
from tests.normserve.validate.cases import run, save
from tests.normserve.validate.outputs.hostile import NAME

HOSTILE = '<&"]]>\n::error::x\x1b[31m|`'


@pytest.fixture
def path(tmp_path):
    """Subtracts the mean of the batch, under names that are out to break every report."""
    proto = model(
        [
            helper.make_node("ReduceMean", [HOSTILE, "axes"], ["mean"], name=HOSTILE),
            helper.make_node("Sub", [HOSTILE, "mean"], [f"{HOSTILE}y"]),
        ],
        [value(HOSTILE, ["batch", 3])],
        [value(f"{HOSTILE}y", ["batch", 3])],
        weights={"axes": np.int64([0])},
    )
    return save(proto, tmp_path / f"{NAME.replace('/', '')}\n.onnx")


def test_they_survive_every_report(path, tmp_path):
    files = {form: tmp_path / f"report.{form}" for form in ("junit", "markdown", "sarif")}
    options = [part for form, file in files.items() for part in (f"--{form}", file)]
    done = run(path, "--json", "--check", "batch-invariance", *options)
    assert done.status == 1
    (target,) = done.report["targets"]
    assert target["target"] == str(path)
    assert HOSTILE in target["findings"][0]["meaning"]
    ((case,),) = JUnitXml.fromfile(str(files["junit"]))
    assert visible(HOSTILE) in case.result[0].message
    (result,) = json.loads(files["sarif"].read_text())["runs"][0]["results"]
    assert HOSTILE in result["message"]["text"]
    assert "\n::error" not in files["markdown"].read_text()
    assert "\x1b" not in files["markdown"].read_text()


def test_they_do_nothing_to_a_terminal(path):
    done = run(path, "--check", "batch-invariance")
    assert done.status == 1
    assert "\x1b" not in done.out
    assert "\n::error" not in done.out


def test_a_model_with_such_a_name_is_served_under_it(path, tmp_path):
    folder = tmp_path / "plain" / 'a <&"]]> %2F b' / "1"
    folder.mkdir(parents=True)
    path.rename(folder / "model.onnx")
    done = run(tmp_path / "plain", "--json", "--check", "as-served")
    assert done.status == 0, done.report


def test_a_file_whose_name_is_no_text_is_refused_with_a_sentence(path):
    odd = path.rename(path.with_name("odd-\udcff.onnx"))
    done = run(odd, "--json", "--check", "file")
    assert done.status == 2
    (target,) = done.report["targets"]
    assert target["target"].endswith("odd-\\udcff.onnx")
    assert "is no text" in target["error"]
