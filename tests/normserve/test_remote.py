"""``normserve infer``, ``models``, ``status``, ``load`` and ``unload`` against a live service."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bundle import Datatype, ProviderPolicy
from normserve.cli import main
from normserve.served import server_of
from tests.service import tiny


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    tiny.write_verified(folder, "double", factor=2.0)
    tiny.write_plain(folder, "text", tiny.identity(Datatype.BYTES))
    tiny.write_plain(folder, "small", tiny.identity(Datatype.INT8))
    tiny.write_plain(folder, "add", tiny.add_and_subtract())
    tiny.write_plain(folder, "picture", tiny.identity(Datatype.FP32, ("rows", 3, 4, 5)))
    return folder


@pytest.fixture(scope="module")
def url(repository):
    with server_of(repository, policy=ProviderPolicy.CPU, threads=1) as server:
        tiny.wait_for(lambda: len(server.states(set())) == 5)
        yield f"http://{server.addresses.http}"


@pytest.fixture
def call(url, monkeypatch):
    monkeypatch.setenv("NORMSERVE_URL", url)
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


def answer(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_values_on_the_command_line_are_answered(call):
    assert answer(call("infer", "double", "--input", "x=[[1, 2]]", "--json")) == {"y": [[2.0, 4.0]]}
    shown = call("infer", "double", "--input", "[1, 2.5]").output  # one input, and one row
    assert "2, 5" in shown
    assert "version 1" in shown


def test_values_from_files_are_answered(call, tmp_path):
    np.save(tmp_path / "rows.npy", np.array([[3, 4]]))
    (tmp_path / "rows.json").write_text("[[5, 6]]")
    (tmp_path / "words.txt").write_text("one\nzwei\nä")
    assert answer(call("infer", "double", "--input", f"x=@{tmp_path}/rows.npy", "--json"))["y"] == [
        [6, 8]
    ]
    assert answer(call("infer", "double", "--input", f"@{tmp_path}/rows.json", "--json"))["y"] == [
        [10, 12]
    ]
    assert answer(call("infer", "text", "--input", f"@{tmp_path}/words.txt", "--json"))["y"] == [
        ["one", "zwei", "ä"]
    ]


def test_a_picture_comes_channels_first_and_in_the_size_that_is_wanted(call, tmp_path):
    Image.new("RGB", (20, 16), (255, 0, 51)).save(tmp_path / "red.png")
    got = np.array(
        answer(call("infer", "picture", "--input", f"@{tmp_path}/red.png", "--json"))["y"]
    )
    assert got.shape == (1, 3, 4, 5)
    np.testing.assert_allclose(got[0, :, 0, 0], [1, 0, 0.2], atol=1e-6)


def test_outputs_are_written_to_files(call, tmp_path):
    call("infer", "double", "--input", "[1, 2]", "--output", tmp_path / "out")
    assert np.load(tmp_path / "out" / "y.npy").tolist() == [[2, 4]]
    call("infer", "text", "--input", '["a", "b", "c"]', "--output", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "y.json").read_text()) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["double", "--input", "z=1"], 2, "'z' is no input of the model; it has x"),
        (["double"], 2, "the model also wants x"),
        (["double", "--input", "x=[1, 2]", "--input", "x=[1, 2]"], 2, "given twice"),
        (["double", "--input", "x=[[1, 2, 3]]"], 2, "has shape [1, 3]; the model wants [-1, 2]"),
        (["double", "--input", "x=here"], 2, "is no JSON and no @file"),
        (["double", "--input", "x=@nowhere.npy"], 2, "No such file"),
        (["small", "--input", "x=[1, 2, 300]"], 2, "numbers that INT8 cannot hold"),
        (["nobody", "--input", "x=1"], 1, "there is no model 'nobody'"),
    ],
)
def test_what_cannot_be_asked_is_said(call, arguments, status, said):
    result = call("infer", *arguments)
    assert result.exit_code == status
    assert said in " ".join(result.output.split())


def test_models_and_their_states_are_listed(call):
    listed = {entry["name"]: entry for entry in answer(call("models", "--json"))}
    assert listed["double"]["state"] == "READY"
    assert listed["add"]["inputs"][0]["datatype"] == "INT32"
    assert "FP32 […, 2]" in call("models").output


def test_status_counts_what_was_asked(call):
    call("infer", "add", "--input", "a=[[1, 2]]", "--input", "b=[[1, 2]]")
    told = answer(call("status", "--json"))
    assert told["ready"]
    assert "ready" in call("status").output


def test_a_model_is_unloaded_and_loaded_again(call):
    assert call("unload", "small").output == "small: unloaded\n"
    states = {entry["name"]: entry["state"] for entry in answer(call("models", "--json"))}
    assert states["small"] == "UNAVAILABLE"
    assert call("load", "small").output == "small: loaded\n"
    assert call("load", "nobody").exit_code == 1


def test_where_nothing_answers_is_said(call):
    result = call("status", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no service answers at http://127.0.0.1:9" in result.output
    assert call("status", "--url", "ftp://here").exit_code == 2


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with a page that says that it cannot."""

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("command", ["status", "models", "load"])
def test_what_is_another_kind_of_server_is_said_in_a_line(command):
    with HTTPServer(("127.0.0.1", 0), Stranger) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{other.server_port}"
            arguments = [command, "m"] if command == "load" else [command]
            result = CliRunner().invoke(main, [*arguments, "--url", url])
        finally:
            other.shutdown()
            thread.join()
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {url}: what answers there is no service of the Open Inference Protocol\n"
    )
