"""``normserve bench`` on a model in a repository, and on one of a server that runs."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from click.testing import CliRunner

from bundle import Datatype
from normserve.cli import main
from tests.service import tiny
from tests.service.process import process

BRIEF = ("--seconds", "0.5", "--rounds", "1", "--concurrency", "2")
FORMS = ["HTTP JSON", "HTTP binary", "gRPC"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    tiny.write_verified(folder, "double", factor=2.0)
    tiny.write_plain(folder, "half", tiny.identity(Datatype.FP16))
    return folder


@pytest.fixture(params=["h2load", "our own client"])
def generator(request, monkeypatch):
    """What makes the load."""
    if request.param == "our own client":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif shutil.which("h2load") is None:
        pytest.skip("h2load is not installed here")
    return request.param


def call(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def test_a_model_is_measured_in_every_form_beside_the_runtime_alone(
    repository, tmp_path, generator
):
    file = tmp_path / "measured.json"
    result = call("double", "--repository", repository, "--json", file, *BRIEF)
    assert result.exit_code == 0, result.output
    assert "ONNX Runtime alone" in result.output
    assert ("may be the bottleneck" in result.output) == (generator != "h2load")
    measured = json.loads(file.read_text())
    assert [row["form"] for row in measured["rows"]] == FORMS
    assert len(measured["bare"]) == 1
    for row in measured["rows"]:
        (load,) = row["loads"]
        assert load["per_s"] > 0
        assert load["cpu_ms"] is not None
        assert load["failed"] == 0


def test_what_json_cannot_carry_is_measured_in_the_other_forms(repository, tmp_path):
    file = tmp_path / "measured.json"
    result = call("half", "--repository", repository, "--json", file, *BRIEF)
    assert result.exit_code == 0, result.output
    assert [row["form"] for row in json.loads(file.read_text())["rows"]] == FORMS[1:]


def test_a_server_that_runs_is_measured_where_it_is(repository, tmp_path):
    file = tmp_path / "measured.json"
    with process(repository, consistency_at_load="false") as (server, url):
        address = server.listening["grpc"]
        result = call("double", "--url", url, "--grpc", address, "--json", file, *BRIEF)
        unknown = call("nobody", "--url", url)
    assert result.exit_code == 0, result.output
    measured = json.loads(file.read_text())
    assert [row["form"] for row in measured["rows"]] == FORMS
    assert measured["bare"] == []
    assert all(row["loads"][0]["failed"] == 0 for row in measured["rows"])
    assert unknown.exit_code == 1
    assert "404" in unknown.output


class Lies(BaseHTTPRequestHandler):
    """Answers JSON otherwise than binary tensors."""

    def do_GET(self):
        tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
        self.reply({"name": "m", "inputs": [tensor], "outputs": [tensor]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        output = {"name": "y", "datatype": "FP32", "shape": [1, 2]}
        if self.headers["Content-Type"] == "application/json":
            self.reply({"outputs": [{**output, "data": [1, 2]}]})
        else:
            output["parameters"] = {"binary_data_size": 8}
            self.reply({"outputs": [output]}, np.array([1, 3], np.float32).tobytes())

    def reply(self, document, tensors=b""):
        header = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(header + tensors)))
        if tensors:
            self.send_header("Inference-Header-Content-Length", str(len(header)))
        self.end_headers()
        self.wfile.write(header + tensors)

    def log_message(self, *_):
        pass


@contextmanager
def listening(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_nothing_is_timed_whose_answers_are_not_right():
    with listening(Lies) as url:
        result = call("m", "--url", url, *BRIEF)
    assert result.exit_code == 1
    assert "HTTP JSON is not the model's answer" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repository", ".", "--url", "http://127.0.0.1:1"], "not both"),
        (["--grpc", "127.0.0.1:1"], "--grpc belongs to --url"),
        (["--url", "127.0.0.1:8000"], "no URL"),
    ],
)
def test_command_lines_that_cannot_be_are_refused(arguments, said):
    result = call("m", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_it_needs_no_extra():
    code = "import sys, normserve.bench; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tritonclient", "httpx", "aiohttp", "torch", "gevent"} & set(done.stdout.split())


def test_a_model_that_is_not_there_is_told(repository):
    assert "no model 'nobody'" in call("nobody", "--repository", repository).output
    versioned = call("double", "--repository", repository, "--version", 9)
    assert versioned.exit_code == 1
    assert "no version 9 of 'double'" in versioned.output


def test_a_server_that_is_not_there_is_told():
    result = call("m", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "nothing answers at http://127.0.0.1:9" in result.output
