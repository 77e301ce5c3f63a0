"""The real process: started as the command line starts it, stopped as an operator stops it."""

import logging
import os
import re
import signal
import socket
import threading
import time

import httpx
import numpy as np
import pytest
import structlog
import tritonclient.grpc as triton

from service.errors import (
    AddressUnavailable,
    ProviderMissing,
    RepositoryMissing,
    SettingsInvalid,
)
from service.server import serve
from service.settings import Settings
from tests.service import tiny
from tests.service.process import process, workers


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


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_run_that_does_not_end_does_not_hold_the_server_up(tmp_path, isolation):
    slow_model(tmp_path, rounds=10_000_000)
    with process(tmp_path, shutdown_grace_s=1, isolation=isolation) as (server, url):
        thread, replies = post_in_background(url)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        assert time.monotonic() - began < 5
        thread.join()
        assert isinstance(replies[0], httpx.TransportError) or replies[0].status_code >= 500
    assert server.lines[-1]["event"] == "stopped"


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
    assert [line for line in server.lines if line["event"] == "no JSON"] == []
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
        serve(Settings(repository=tmp_path, provider="cuda"))


def test_grpc_answers_beside_http_and_ends_with_it(tmp_path):
    tiny.write_plain(tmp_path, "double", tiny.scale(2.0))
    with process(tmp_path) as (server, _):
        with triton.InferenceServerClient(server.listening["grpc"]) as client:
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


def test_metrics_and_health_have_a_port_of_their_own_that_ends_with_the_others(tmp_path):
    tiny.write_plain(tmp_path, "double", tiny.scale(2.0))
    with process(tmp_path, inference_keys="a-client-key") as (server, url):
        metrics = server.listening["metrics"]
        page = httpx.get(f"{metrics}/metrics")
        assert page.status_code == 200
        assert 'nv_inference_request_success{model="double",version="1"} 0.0' in page.text
        assert httpx.get(f"{metrics}/v2/health/ready").json() == {"ready": True}
        assert httpx.head(f"{metrics}/metrics").content == b""
        reply = httpx.get(f"{metrics}/v2/models/double")
        assert reply.status_code == 404
        assert "there is no route" in reply.json()["error"]
        assert httpx.get(f"{url}/metrics").status_code == 401
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{metrics}/metrics")
    assert server.lines[-1]["event"] == "stopped"


def test_what_the_processes_of_models_use_is_told_and_how_often_they_ended(tmp_path):
    tiny.write_plain(tmp_path, "double", tiny.scale(2.0))
    with process(tmp_path) as (server, url):
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}
        body = {"inputs": [tensor]}
        assert httpx.post(f"{url}/v2/models/double/infer", json=body).status_code == 200

        def read(name):
            page = httpx.get(f"{server.listening['metrics']}/metrics").text
            told = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
            return told and float(told[1])

        labels = '{model="double",version="1"}'
        assert read(f"normserve_worker_deaths_total{labels}") == 0
        assert read(f"normserve_worker_resident_memory_bytes{labels}") > 2**20
        assert read(f"normserve_worker_cpu_seconds_total{labels}") >= 0
        assert read("normserve_processes") >= 3  # the server, what forks, and the model's
        assert read("normserve_processes_memory_bytes") > read("process_resident_memory_bytes") / 2
        assert (
            read("normserve_processes_cpu_seconds_total") >= read("process_cpu_seconds_total") / 2
        )
        (worker,) = workers(server)
        os.kill(worker, signal.SIGKILL)
        tiny.wait_for(lambda: read(f"normserve_worker_deaths_total{labels}") == 1)
        tiny.wait_for(lambda: read(f"normserve_worker_resident_memory_bytes{labels}") is not None)


def test_the_cores_are_said_at_the_start_and_shared_among_runs(tmp_path):
    settings = {"cores": 3.5, "threads": 3, "concurrent_runs": 2, "spinning": True}
    with process(tmp_path, **settings) as (server, url):
        lines = [line for line in server.lines if "cores" in line["event"]]
        page = httpx.get(f"{url}/metrics").text
    assert [(line["event"], line["level"]) for line in lines] == [
        ("cores", "info"),
        ("more threads than cores", "warning"),
    ]
    assert settings.items() <= lines[0].items()
    assert lines[0]["source"] == "setting"
    assert 'normserve_cores{source="setting"} 3.5' in page


def test_metrics_need_have_no_port_of_their_own(tmp_path):
    with process(tmp_path, metrics_port="none") as (server, url):
        assert server.listening["metrics"] is None
        assert httpx.get(f"{url}/metrics").status_code == 200


def test_a_port_for_metrics_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}: .*another host or port"):
            serve(Settings(repository=tmp_path, http_port=0, metrics_port=port))


def test_a_server_says_at_its_start_who_may_do_what_and_never_a_key(tmp_path):
    keys = {"admin_key": "the-admin-key", "inference_keys": "a-client-key"}
    with process(tmp_path, log_level="debug", **keys) as (server, url):
        assert server.listening["admin"] == server.listening["inference"] == "with a key"
        for key in (*keys.values(), "a-wrong-key"):
            headers = {"Authorization": f"Bearer {key}"}
            httpx.post(f"{url}/v2/repository/models/m/load", headers=headers)
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    text = str(server.lines)
    assert "401" in text
    assert not any(key in text for key in (*keys.values(), "a-wrong-key"))


def test_a_key_that_cannot_be_stops_the_server(tmp_path):
    with pytest.raises(SettingsInvalid, match="admin_key"):
        serve(Settings(repository=tmp_path, http_port=0, metrics_port=0, admin_key="short"))
