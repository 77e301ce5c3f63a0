"""The real process: started as the command line starts it, stopped as an operator stops it."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import structlog
import tritonclient.grpc as triton

from bundle import ProviderPolicy
from service.errors import AddressUnavailable, ProviderMissing, RepositoryMissing
from service.server import serve
from service.settings import Settings
from tests.service import tiny

PROGRAM = "from service import load_settings, serve; serve(load_settings())"


@contextmanager
def process(repository, **settings):
    """A server process on a free port; gives it and its URL."""
    names = {
        "repository": repository,
        "http_port": 0,
        "grpc_port": 0,
        "log_format": "json",
    } | settings
    environment = {f"NORMSERVE_{k.upper()}": str(v) for k, v in names.items()}
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    server.lines = []
    try:
        for line in server.stderr:
            server.lines.append(json.loads(line))
            if server.lines[-1]["event"] == "listening":
                break
        url = server.lines[-1]["url"]
        reader = threading.Thread(
            target=lambda: server.lines.extend(json.loads(line) for line in server.stderr)
        )
        reader.start()
        wait_until_ready(url)
        yield server, url
    finally:
        server.kill()
        server.wait()
        reader.join()
        server.stderr.close()


def wait_until_ready(url):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError("the server did not come up in time")


def slow_model(repository, *, rounds):
    tiny.write_plain(repository, "slow", tiny.slow(rounds))


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """`serve` configures logging for the whole process, which a test then leaves as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def post(url):
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    return httpx.post(f"{url}/v2/models/slow/infer", json={"inputs": [tensor]}, timeout=60)


def post_in_background(url):
    """A request that the server is computing when this returns."""
    replies = []

    def ask():
        try:
            replies.append(post(url))
        except httpx.TransportError as err:
            replies.append(err)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    assert not replies, "the model is too quick for this test"
    return thread, replies


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_finishes_what_it_computes(tmp_path, number):
    slow_model(tmp_path, rounds=300)
    with process(tmp_path) as (server, url):
        thread, replies = post_in_background(url)
        server.send_signal(number)
        thread.join()
        assert replies[0].status_code == 200
        assert server.wait(10) == 0
    assert server.lines[-1]["event"] == "stopped"


def test_a_run_that_does_not_end_does_not_hold_the_server_up(tmp_path):
    slow_model(tmp_path, rounds=10_000_000)
    with process(tmp_path, shutdown_grace_s=1) as (server, url):
        thread, replies = post_in_background(url)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 1
        assert time.monotonic() - began < 5
        thread.join()
        assert isinstance(replies[0], httpx.TransportError) or replies[0].status_code >= 500
    assert server.lines[-1]["event"] == "stopped with runs unfinished"


def test_a_server_that_is_examining_a_model_does_not_wait_for_it(tmp_path):
    slow_model(tmp_path, rounds=10_000_000)
    with process(tmp_path, consistency_at_load=True) as (server, url):
        state = httpx.get(f"{url}/v2/models/slow/consistency").json()["state"]
        assert state == "establishing"
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    assert server.lines[-1]["event"] == "stopped"


def test_each_line_of_the_log_is_an_object_and_says_where_the_server_is(tmp_path):
    with process(tmp_path) as (server, url):
        assert httpx.get(f"{url}/v2/models/nobody").status_code == 404
        server.send_signal(signal.SIGTERM)
        server.wait(10)
    requests = [line for line in server.lines if line["event"] == "request"]
    assert requests[-1]["status"] == 404
    assert requests[-1]["request_id"]


def test_a_port_in_use_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}"):
            serve(Settings(repository=tmp_path, http_port=port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a..b"])
def test_a_host_that_is_not_this_machine_is_told(tmp_path, host):
    with pytest.raises(AddressUnavailable, match=f"cannot listen on {host}"):
        serve(Settings(repository=tmp_path, host=host))


def test_a_missing_repository_is_told(tmp_path):
    with pytest.raises(RepositoryMissing, match="none"):
        serve(Settings(repository=tmp_path / "none"))


def test_a_required_provider_that_is_missing_is_told_with_those_that_are_there(tmp_path):
    with pytest.raises(ProviderMissing, match=r"cuda.*CPUExecutionProvider"):
        serve(Settings(repository=tmp_path, provider=ProviderPolicy.CUDA))


def test_grpc_answers_beside_http_and_ends_with_it(tmp_path):
    tiny.write_plain(tmp_path, "double", tiny.scale(2.0))
    with process(tmp_path) as (server, _):
        address = next(line["grpc"] for line in server.lines if line["event"] == "listening")
        with triton.InferenceServerClient(address) as client:
            given = triton.InferInput("x", [1, 2], "FP32")
            given.set_data_from_numpy(np.ones((1, 2), np.float32))
            assert client.infer("double", [given]).as_numpy("y").tolist() == [[2, 2]]
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_a_grpc_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=rf"127\.0\.0\.1:{port} for gRPC"):
            serve(Settings(repository=tmp_path, http_port=0, grpc_port=port))
