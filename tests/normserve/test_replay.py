"""``normserve infer --record`` and ``normserve replay``: a live service, and a repository."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from bundle import Datatype, ProviderPolicy, Sample
from normserve.cli import main
from normserve.recording import (
    Record,
    Recording,
    RecordInvalid,
    read_recording,
    specs_of,
    write_recording,
)
from normserve.served import server_of
from service.provenance import REQUEST_PARAMETER
from tests.service import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    tiny.write_verified(folder, "double", factor=2.0)
    tiny.write_plain(folder, "text", tiny.identity(Datatype.BYTES))
    tiny.write_plain(folder, "half", tiny.identity(Datatype.FP16))
    return folder


@pytest.fixture(scope="module")
def url(repository):
    with server_of(repository, policy=ProviderPolicy.CPU, threads=1) as server:
        tiny.wait_for(lambda: len(server.states(set())) == 3)
        yield f"http://{server.addresses.http}"


@pytest.fixture
def call(url, monkeypatch):
    monkeypatch.setenv("NORMSERVE_URL", url)
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def recorded(call, tmp_path):
    """The file of a request to ``double``."""
    file = tmp_path / "double.zip"
    asked = call("infer", "double", "--input", "x=[[1, 2.5], [3, 4]]", "--record", file)
    assert asked.exit_code == 0, asked.output
    return file


def replay(call, *arguments, status=0):
    result = call("replay", *arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.output)


def changed(file, change):
    """The same recording with another answer."""
    before = read_recording(file)
    outputs = {name: change(array) for name, array in before.sample.outputs.items()}
    write_recording(file, Recording(before.record, Sample(before.sample.inputs, outputs)))
    return file


def test_a_recording_has_what_was_asked_and_how_the_answer_came_about(recorded):
    with zipfile.ZipFile(recorded) as archive:
        record = json.loads(archive.read("record.json"))
        answer = onnx.TensorProto.FromString(archive.read("test_data_set_0/output_0.pb"))
    assert (record["format"], record["model"], record["version"]) == (1, "double", "1")
    assert record["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [2, 2]}]
    assert record["provenance"]["normserve_provider"] == "CPUExecutionProvider"
    assert record["provenance"]["normserve_batch_size"] == 2
    assert numpy_helper.to_array(answer).tolist() == [[2, 5], [6, 8]]


def test_the_same_service_answers_the_same(call, recorded):
    told = replay(call, recorded)
    assert told["agrees"]
    assert told["identical"]
    fields = {field["name"]: field["same"] for field in told["provenance"]}
    for name in ("model_sha256", "manifest_sha256", "provider", "model_version", "version"):
        assert fields[name] is True
    assert "queue_us" not in fields
    assert "identical" in call("replay", recorded).output


def test_a_repository_is_run_in_this_process_with_the_tolerance_of_its_manifest(
    call, recorded, repository
):
    told = replay(call, changed(recorded, lambda y: y + 1e-6), "--repository", repository)
    assert told["agrees"]
    assert not told["identical"]
    (output,) = told["outputs"]
    assert 0 < output["max_abs_error"] < 1e-6
    assert output["tolerance"]["source"] == "a test"
    assert {f["name"]: f["same"] for f in told["provenance"]}["model_sha256"] is True


def test_without_a_manifest_an_answer_is_the_same_or_it_is_not(call, recorded):
    file = changed(recorded, lambda y: y + 1e-6)
    told = replay(call, file, status=1)
    assert not told["agrees"]
    assert told["outputs"][0]["reason"]
    assert replay(call, file, "--atol", "1e-5")["agrees"]
    result = call("replay", file)
    assert result.exit_code == 1
    assert "differs" in result.output


@pytest.mark.parametrize("broken", ["nan", "shape"])
def test_an_answer_that_is_another_thing_differs_whatever_is_allowed(call, recorded, broken):
    change = {"nan": lambda y: y * np.float32("nan"), "shape": lambda y: y[:1]}[broken]
    assert not replay(call, changed(recorded, change), "--atol", "9", status=1)["agrees"]


def test_a_replacement_is_told_from_the_model_that_answered(call, recorded, tmp_path):
    tiny.write_verified(tmp_path, "double", factor=2.5)
    told = replay(call, recorded, "--repository", tmp_path, status=1)
    fields = {field["name"]: field["same"] for field in told["provenance"]}
    assert fields["model_sha256"] is fields["manifest_sha256"] is False
    assert fields["provider"] is True
    assert fields["batch_size"] is None
    assert told["outputs"][0]["max_abs_error"] == 2.0


def test_text_and_half_precision_are_recorded_bit_for_bit(call, tmp_path):
    file = tmp_path / "words.zip"
    call("infer", "text", "--input", '["ä", "", "b"]', "--record", file)
    assert read_recording(file).sample.outputs["y"].tolist() == [["ä".encode(), b"", b"b"]]
    assert replay(call, file)["identical"]
    call("infer", "half", "--input", "[0.1, 65504, -0.0]", "--record", file)
    assert read_recording(file).sample.outputs["y"].dtype == np.float16
    assert replay(call, file)["identical"]


def test_an_answer_without_provenance_is_compared_all_the_same(call, recorded):
    before = read_recording(recorded)
    silent = before.record.model_copy(update={"provenance": {}})
    write_recording(recorded, Recording(silent, before.sample))
    told = replay(call, recorded)
    assert told["agrees"]
    assert {field["same"] for field in told["provenance"]} == {None}


def test_what_cannot_be_asked_again_is_said(call, recorded, repository, tmp_path):
    missing = call("replay", recorded, "--version", "7")
    assert missing.exit_code == 1
    assert "has no version 7" in missing.output
    missing = call("replay", recorded, "--repository", repository, "--version", "7")
    assert missing.exit_code == 1
    assert "has no version 7 of 'double'; it has 1" in " ".join(missing.output.split())
    for anything in ("inf", "nan"):
        refused = call("replay", recorded, "--atol", anything)
        assert refused.exit_code == 2
        assert f"--atol {anything} allows anything" in refused.output
    unwritable = tmp_path / "nowhere" / "file"
    refused = call("infer", "double", "--input", "[1, 2]", "--record", unwritable)
    assert refused.exit_code == 1
    assert "cannot be written: No such file" in " ".join(refused.output.split())


def damaged(file, kind):
    if kind == "no archive":
        file.write_bytes(b"no archive")
    elif kind == "cut off":
        file.write_bytes(file.read_bytes()[:-30])
    elif kind == "another format":
        rewrite(file, "record.json", lambda text: text.replace(b'"format": 1', b'"format": 2'))
    elif kind == "no record":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("other", "")
    elif kind == "no tensors":
        with zipfile.ZipFile(file) as archive:
            text = archive.read("record.json")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("record.json", text)
    else:
        rewrite(file, "test_data_set_0/output_0.pb", lambda _: b"\xff")


def rewrite(file, name, change):
    with zipfile.ZipFile(file) as archive:
        contents = {each: archive.read(each) for each in archive.namelist()}
    contents[name] = change(contents[name])
    with zipfile.ZipFile(file, "w") as archive:
        for each, content in contents.items():
            archive.writestr(each, content)


@pytest.mark.parametrize(
    "kind", ["no archive", "cut off", "another format", "no record", "no tensors", "bad tensor"]
)
def test_a_file_that_is_no_recording_is_refused(call, recorded, kind):
    damaged(recorded, kind)
    with pytest.raises(RecordInvalid, match="is no recording"):
        read_recording(recorded)
    result = call("replay", recorded)
    assert result.exit_code == 1
    assert "is no recording" in " ".join(result.output.split())


def test_a_recording_comes_back_as_it_was_written(tmp_path):
    arrays = {
        "flags": np.array([[True, False]]),
        "empty": np.empty((0, 3), np.int64),
        "scalar": np.array(7, np.uint8),
        "brain": np.array([1.5], Datatype.BF16.numpy),
    }
    record = Record(
        created="2026-01-02T03:04:05Z",
        model="m",
        version="3",
        inputs=specs_of(arrays),
        outputs=(),
        provenance={"normserve_batch_size": 1, "is": True, "text": "1", "number": 0.5},
    )
    write_recording(tmp_path / "file", Recording(record, Sample(arrays, {})))
    back = read_recording(tmp_path / "file")
    assert back.record == record
    for name, array in arrays.items():
        assert back.sample.inputs[name].dtype == array.dtype
        assert back.sample.inputs[name].shape == array.shape
        assert back.sample.inputs[name].tobytes() == array.tobytes()


def test_client_and_service_have_the_same_name_for_provenance(recorded):
    assert REQUEST_PARAMETER == "normserve_provenance"
    assert read_recording(recorded).record.provenance


def test_the_documentation_says_what_happens(url, repository, tmp_path):
    page = (ROOT / "docs" / "provenance.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    commands = "set -e\n" + "\n".join(blocks).replace("localhost:8000", url)
    (tmp_path / "model_repository").symlink_to(repository)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env=os.environ | {"NORMSERVE_URL": url, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reply = json.loads(done.stdout.partition("}]}")[0] + "}]}")
    rows = dict(re.findall(r"^\| `(normserve_\w+)` \| (\w+) \|", page, re.MULTILINE))
    types = {str: "string", int: "integer"}
    assert {name: types[type(value)] for name, value in reply["parameters"].items()} == {
        name: kind for name, kind in rows.items() if name != "normserve_certificate_sha256"
    }
    assert done.stdout.count("identical") == 2
