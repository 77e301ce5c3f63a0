"""The examples of docs/clients.md and docs/protocol.md, run as they stand there; curl's ways."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.clients.process import ROOT
from tests.clients.wire import GOOD, INFER


def blocks(page, language):
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command, server):
    """Run a shell command or a Python program of a page against the test's server."""
    arguments = [part.replace("127.0.0.1:8000", server.http) for part in command]
    arguments = [part.replace("127.0.0.1:8001", server.grpc) for part in arguments]
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=60, env=os.environ, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(text, server):
    return run(["bash", "-c", text.replace("curl ", "curl --silent --fail ")], server)


def test_the_curl_commands_are_answered(server):
    infer, generate = blocks("clients.md", "bash")
    said = shell(infer, server)
    assert said.startswith('{"ready":true}{"name":"resnet"')
    assert '"outputs":[{"name":"logits"' in said
    assert json.loads(shell(generate, server))["logits"] == [2016.0] * 10


def test_generate_answers_what_the_page_says(server):
    (asked,) = blocks("protocol.md", "bash")
    (answer,) = blocks("protocol.md", "json")
    assert shell(asked, server) == answer.strip()


@pytest.mark.parametrize("module", ["http", "grpc"])
def test_the_first_tritonclient_program_prints_classes(server, module):
    program = blocks("clients.md", "python")[0]
    assert "import tritonclient.http as triton" in program
    if module == "grpc":  # as its comment says
        program = program.replace("tritonclient.http", "tritonclient.grpc")
        program = program.replace("127.0.0.1:8000", "127.0.0.1:8001")
    said = run([sys.executable, "-c", program], server)
    assert said.startswith("(2, 10)\n")
    assert said.count("b'0.000000:") == 6


def test_the_stream_program_prints_the_ids_in_order(server):
    program = blocks("clients.md", "python")[1]
    assert run([sys.executable, "-c", program], server).split() == ["0", "1", "2"]


def test_every_page_that_these_name_is_there():
    for page in ("clients.md", "protocol.md"):
        text = (ROOT / "docs" / page).read_text()
        for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", text):
            assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize(
    "options",
    [
        ["--data", GOOD.decode()],  # as a form
        ["--data-binary", GOOD.decode(), "--header", "Content-Type:"],
        ["--json", GOOD.decode()],
        ["--data", GOOD.decode(), "--http1.0"],
        ["--data", GOOD.decode(), "--http2"],  # offers an upgrade, with a body
        ["--data", GOOD.decode(), "--compressed"],
        ["--data", GOOD.decode(), "--header", "Expect: 100-continue"],
        ["--data", GOOD.decode(), "--header", "Transfer-Encoding: chunked"],
        ["--data", GOOD.decode() + " " * 2**21],  # so large that curl waits for 100 Continue
        ["--data", GOOD.decode(), "--user", "name:password"],
    ],
    ids=lambda options: " ".join(options[2:])[:30] or options[0],
)
def test_curl_is_answered_however_it_sends(server, options, tmp_path):
    body = tmp_path / "body"
    body.write_text(options[1])
    command = ["curl", "--silent", "--fail", options[0], f"@{body}", *options[2:]]
    said = json.loads(run([*command, f"{server.url}{INFER}"], server))
    assert said["outputs"][0]["data"] == [1, 2, 3]
