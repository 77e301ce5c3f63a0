"""Spans on their way out of a real process, to a real receiver and to none; and what is off."""

import os
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton

from service.errors import SettingsInvalid
from service.settings import Settings, load_settings
from service.tracing import Tracing
from tests.service import tiny
from tests.service.test_server import process
from tests.service.tracing.collector import attributes, collecting

BODY = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
INFER = "/v2/models/m/infer"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def repository(tmp_path):
    tiny.write_verified(tmp_path, "m")
    return tmp_path


def stop(server):
    began = time.monotonic()
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0
    return time.monotonic() - began


def logged(server, event):
    return [line for line in server.lines if line["event"] == event]


def test_a_process_sends_what_it_traced_over_both_transports_before_it_ends(
    repository, monkeypatch
):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=here")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=mine")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")  # only the end flushes
    with collecting() as collector:
        with process(repository, otel_endpoint=collector.url) as (server, url):
            traceparent = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            assert httpx.post(f"{url}{INFER}", json=BODY, headers=traceparent).status_code == 200
            with triton.InferenceServerClient(logged(server, "listening")[0]["grpc"]) as client:
                x = triton.InferInput("x", [1, 2], "FP32")
                x.set_data_from_numpy(np.ones((1, 2), np.float32))
                client.infer("m", [x], headers=traceparent)
            assert collector.spans == []
            stop(server)
        assert set(collector.paths) == {"/v1/traces"}
        assert collector.headers["x-tenant"] == "mine"
        resource = collector.resources[0]
        assert resource["service.name"] == "normserve"
        assert resource["deployment.environment.name"] == "here"
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
        for name in (
            "POST /v2/models/{model}/infer",
            "inference.GRPCInferenceService/ModelInfer",
        ):
            (whole,) = collector.named(name)
            assert whole.kind == whole.SPAN_KIND_SERVER
            assert whole.parent_span_id.hex() == SPAN
            assert attributes(whole)["normserve.model.name"] == "m"
            inside = [s.name for s in collector.spans if s.parent_span_id == whole.span_id]
            assert inside == ["decode", "queue", "run", "encode"]
        spans = {line.get("span_id") for line in server.lines if line["event"] == "request"}
        assert {span.span_id.hex() for span in collector.spans if span.kind == 2} <= spans


def test_the_service_is_called_what_the_standard_variable_says(repository, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with collecting() as collector:
        with process(repository, otel_endpoint=f"{collector.url}/v1/traces/") as (server, url):
            httpx.post(f"{url}{INFER}", json=BODY)
            stop(server)
        assert set(collector.paths) == {"/v1/traces"}
        assert collector.resources[0]["service.name"] == "mine"


@pytest.mark.parametrize("failure", ["nobody listens", "it hangs", "it answers 500"])
def test_a_collector_that_fails_costs_requests_nothing_and_the_end_little(
    repository, monkeypatch, failure
):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    with collecting() as collector:
        endpoint = "http://127.0.0.1:9" if failure == "nobody listens" else collector.url
        collector.status = 500
        if failure == "it hangs":
            collector.gate.clear()
        with process(repository, otel_endpoint=endpoint, shutdown_grace_s=2) as (server, url):
            with httpx.Client(base_url=url) as client:
                replies = [client.post(INFER, json=BODY) for _ in range(30)]
            assert {reply.status_code for reply in replies} == {200}
            durations = [line["duration_ms"] for line in logged(server, "request")[-30:]]
            assert max(durations) < 1000
            assert stop(server) < 10
        assert logged(server, "stopped")


def test_nothing_of_opentelemetry_s_sdk_is_imported_while_tracing_is_off():
    program = (
        "import sys, service, service.http; from service.tracing import Tracing\n"
        "tracing = Tracing.to('', ratio=None); tracing.start()\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'requests',"
        " 'opentelemetry.exporter', 'service.tracing.export', 'service.tracing.spans'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_without_the_extra_the_server_does_not_start_and_says_what_to_install(repository):
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from service import load_settings, serve\n"
        "try: serve(load_settings())\n"
        "except Exception as err: print(type(err).__name__, err)"
    )
    names = {"REPOSITORY": repository, "OTEL_ENDPOINT": "http://127.0.0.1:9"}
    names |= {"HTTP_PORT": 0, "GRPC_PORT": 0, "METRICS_PORT": 0}
    environment = {f"NORMSERVE_{name}": str(value) for name, value in names.items()}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert done.stdout.startswith("SettingsInvalid otel_endpoint is set and the package")
    assert "install normserve[otel]" in done.stdout


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://a:1", "http://", "http://a?b=c"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(SettingsInvalid, match=r"otel_endpoint.*http://127.0.0.1:4318"):
        load_settings(otel_endpoint=endpoint)


def test_a_ratio_beyond_1_is_refused():
    with pytest.raises(SettingsInvalid, match="trace_ratio"):
        load_settings(trace_ratio=1.5)


async def test_stopping_twice_and_stopping_what_was_never_started_is_nothing():
    tracing = Tracing.to(Settings().otel_endpoint, ratio=None)
    await tracing.stop(grace_s=1)
    tracing.start()
    await tracing.stop(grace_s=1)
