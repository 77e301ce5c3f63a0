"""What a trace tells of a request, over either transport; where it comes from and goes to."""

import asyncio
import contextlib

import numpy as np
import pytest
import structlog
import tritonclient.grpc.aio as triton
from opentelemetry.semconv.attributes import (
    error_attributes,
    exception_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs
from tritonclient.utils import InferenceServerException

from service.errors import InferenceRefused, Overloaded
from service.logs import add_trace
from service.statistics import ExecutionTimes

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
METHOD = "inference.GRPCInferenceService/ModelInfer"
ROUTE = "POST /v2/models/{model}/infer"
MS = 1_000_000
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
NOT_SAMPLED = f"00-{TRACE}-{SPAN}-00"
TIMES = ExecutionTimes(queue=0, compute=0)


def vector():
    tensor = triton.InferInput("x", [1], "FP32")
    return [tensor.set_data_from_numpy(np.ones(1, np.float32))]


async def ask(running, transport, model="m", headers=None):
    """One inference; gives the name of its span."""
    if transport == "http":
        await running.http.post(f"/v2/models/{model}/infer", json=BODY, headers=headers)
        return ROUTE
    async with running.a_call():
        with contextlib.suppress(InferenceServerException):
            await running.grpc.infer(model, vector(), headers=headers)
    return METHOD


@pytest.fixture(params=["http", "grpc"])
def transport(request):
    return request.param


async def test_an_inference_over_http_is_a_server_span_by_the_conventions(running):
    async with running() as server:
        reply = await server.http.post(
            "/v2/models/m/infer?secret=1", json=BODY, headers={"X-Request-ID": "mine"}
        )
        assert reply.status_code == 200
        span = server.only(ROUTE)
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        http_attributes.HTTP_REQUEST_METHOD: "POST",
        http_attributes.HTTP_ROUTE: "/v2/models/{model}/infer",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        url_attributes.URL_PATH: "/v2/models/m/infer",
        url_attributes.URL_SCHEME: "http",
        network_attributes.NETWORK_PROTOCOL_VERSION: "1.1",
        server_attributes.SERVER_ADDRESS: "127.0.0.1",
        "normserve.request.id": "mine",
        "normserve.model.name": "m",
        "normserve.model.version": 1,
    }


async def test_an_inference_over_grpc_is_a_server_span_by_the_conventions(running):
    async with running() as server:
        async with server.a_call():
            await server.grpc.infer("m", vector(), headers={"x-request-id": "mine"})
        span = server.only(METHOD)
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "rpc.response.status_code": "OK",
        server_attributes.SERVER_ADDRESS: "127.0.0.1",
        "normserve.request.id": "mine",
        "normserve.model.name": "m",
        "normserve.model.version": 1,
    }


async def test_its_parts_are_children_with_the_times_that_the_runner_told(running, transport):
    async with running() as server:
        whole = server.only(await ask(server, transport))
        parts = {span.name: span for span in server.spans() if span is not whole}
    assert list(parts) == ["decode", "queue", "run", "encode"]
    for part in parts.values():
        assert part.kind is SpanKind.INTERNAL
        assert part.parent.span_id == whole.context.span_id
        assert part.context.trace_id == whole.context.trace_id
        assert part.end_time >= part.start_time >= whole.start_time
    decode, queue, run, encode = parts.values()
    assert decode.end_time == queue.start_time
    assert queue.end_time - queue.start_time == 3 * MS
    assert run.start_time == queue.end_time
    assert run.end_time - run.start_time == 5 * MS
    assert whole.end_time >= encode.end_time


async def test_a_run_that_others_share_is_inside_of_its_batch(running, transport):
    async with running() as server:
        times = ExecutionTimes(queue=1 * MS, compute=2 * MS, batch_size=8, first_row=3)
        server.serve("batched", times)
        whole = server.only(await ask(server, transport, "batched"))
        batch, run = server.only("batch"), server.only("run")
    assert batch.parent.span_id == whole.context.span_id
    assert run.parent.span_id == batch.context.span_id
    assert dict(batch.attributes) == {"normserve.batch.size": 8, "normserve.batch.first_row": 3}
    assert batch.start_time == run.start_time


async def test_each_request_of_a_stream_has_a_trace_of_its_own(running):
    async def requests():
        for model in ("m", "nobody", "m"):
            yield {"model_name": model, "inputs": vector()}

    async with running() as server:
        async with server.a_call():
            replies = [reply async for reply in server.grpc.stream_infer(requests())]
        spans = server.server_spans()
    assert len(replies) == 3
    assert {span.name for span in spans} == {"inference.GRPCInferenceService/ModelStreamInfer"}
    codes = [span.attributes["rpc.response.status_code"] for span in spans]
    assert sorted(codes) == ["NOT_FOUND", "OK", "OK"]
    assert len({span.context.trace_id for span in spans}) == 3


async def test_what_is_refused_is_told_on_the_span_and_no_error_of_the_server(running, transport):
    async with running() as server:
        server.serve("picky", TIMES, InferenceRefused("index 7 is out of range"))
        span = server.only(await ask(server, transport, "picky"))
        assert "run" not in server.names()
    (event,) = span.events
    assert event.name == "exception"
    assert dict(event.attributes) == {
        exception_attributes.EXCEPTION_TYPE: "service.errors.InferenceRefused",
        exception_attributes.EXCEPTION_MESSAGE: "index 7 is out of range",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert error_attributes.ERROR_TYPE not in span.attributes


@pytest.mark.parametrize(
    ("error", "types"),
    [
        (Overloaded("too many"), {"http": "503", "grpc": "UNAVAILABLE"}),
        (ZeroDivisionError("a bug"), {"http": "500", "grpc": "INTERNAL"}),
    ],
)
async def test_what_is_the_servers_fault_is_an_error(running, transport, error, types):
    async with running() as server:
        server.serve("failing", TIMES, error)
        with capture_logs():
            span = server.only(await ask(server, transport, "failing"))
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes[error_attributes.ERROR_TYPE] == types[transport]
    assert span.events[0].attributes[exception_attributes.EXCEPTION_MESSAGE] == str(error)


async def test_a_model_that_is_not_there_is_named_in_no_attribute_of_the_model(running, transport):
    async with running() as server:
        span = server.only(await ask(server, transport, "nobody"))
    assert "normserve.model.name" not in span.attributes


async def test_the_trace_of_the_client_goes_on(running, transport):
    async with running() as server:
        headers = {"traceparent": SAMPLED, "tracestate": "vendor=1"}
        span = server.only(await ask(server, transport, headers=headers))
        queue = server.only("queue")
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.parent.is_remote
    assert queue.context.trace_state.to_header() == "vendor=1"


async def test_a_trace_that_the_client_does_not_record_is_not_recorded_here(running, transport):
    async with running() as server:
        await ask(server, transport, headers={"traceparent": NOT_SAMPLED})
        assert server.spans() == ()


@pytest.mark.parametrize(
    "traceparent",
    ["", "x", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", f"{SAMPLED}-x", "0" * 600],
)
async def test_a_malformed_one_is_ignored(running, transport, traceparent):
    async with running() as server:
        span = server.only(await ask(server, transport, headers={"traceparent": traceparent}))
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" != TRACE


async def test_two_of_them_are_none(running):
    async with running() as server:
        headers = [("traceparent", SAMPLED), ("traceparent", SAMPLED)]
        await server.http.post("/v2/models/m/infer", json=BODY, headers=headers)
        assert server.only(ROUTE).parent is None


async def test_the_log_names_the_trace_and_the_span(running, transport):
    async with running() as server:
        with capture_logs(processors=[add_trace]) as logs:
            span = server.only(await ask(server, transport))
    (line,) = (line for line in logs if line["event"] == "request")
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert line["span_id"] == f"{span.context.span_id:016x}"


async def test_and_the_trace_of_a_client_that_does_not_record_it(running, transport):
    async with running() as server:
        with capture_logs(processors=[add_trace]) as logs:
            await ask(server, transport, headers={"traceparent": NOT_SAMPLED})
    (line,) = (line for line in logs if line["event"] == "request")
    assert line["trace_id"] == TRACE
    assert "span_id" not in line


async def test_requests_at_the_same_time_are_not_mixed_up(running, transport):
    async with running() as server:
        ids = [f"{number:032x}" for number in range(1, 21)]
        await asyncio.gather(
            *(ask(server, transport, headers={"traceparent": f"00-{i}-{SPAN}-01"}) for i in ids)
        )
        traces = {}
        for span in server.spans():
            traces.setdefault(f"{span.context.trace_id:032x}", []).append(span.name)
    assert sorted(traces) == ids
    assert {len(names) for names in traces.values()} == {5}


async def test_what_else_is_asked_is_traced_and_probes_are_not(running):
    async with running() as server:
        for path in (
            *("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready", "/metrics"),
            *("/v2/models/m/versions/1/ready", "/v2", "/v2/models/m", "/nowhere"),
        ):
            await server.http.get(path)
        for call in (
            server.grpc.is_server_live(),
            server.grpc.is_server_ready(),
            server.grpc.is_model_ready("m"),
            server.grpc.get_model_metadata("m"),
        ):
            async with server.a_call():
                await call
        assert server.names() == [
            *("GET /v2", "GET /v2/models/{model}", "GET"),
            "inference.GRPCInferenceService/ModelMetadata",
        ]


async def test_what_a_client_chooses_is_bounded(running):
    async with running() as server:
        await server.http.request("BREW", f"/{'x' * 5000}", headers={"X-Request-ID": "y" * 500})
        await server.http.post("/v2/models/m/infer", json={"inputs": [{"name": "z" * 5000}]})
        spans = server.server_spans()
    assert spans[0].name == "HTTP"
    assert spans[0].attributes[http_attributes.HTTP_REQUEST_METHOD] == "_OTHER"
    for span in spans:
        values = [*span.attributes.values()]
        values += [value for event in span.events for value in event.attributes.values()]
        assert max(len(str(value)) for value in values) <= 512


@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_the_ratio_is_of_requests_without_a_trace(running, transport, ratio):
    async with running(ratio=ratio) as server:
        await ask(server, transport)
        assert len(server.server_spans()) == ratio
        await ask(server, transport, headers={"traceparent": SAMPLED})
        assert len(server.server_spans()) == ratio + 1


async def test_the_standard_variables_hold_where_no_setting_says_otherwise(
    running, transport, monkeypatch
):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with running() as server:
        await ask(server, transport)
        assert server.spans() == ()
    async with running(ratio=1.0) as server:
        assert server.only(await ask(server, transport))


async def test_the_settings_choose_at_run_time(running, transport):
    async with running() as server:
        traces = server.service.plane.traces

        async def traced(requests=6):
            server.exporter.clear()
            for _ in range(requests):
                await ask(server, transport)
            return len(server.server_spans())

        assert await traced() == 6
        traces.update({"trace_level": ["OFF"]}, model=None)
        assert await traced() == 0
        traces.update({"trace_level": ["TIMESTAMPS"], "trace_rate": ["3"]}, model="m")
        assert await traced() == 2
        traces.update({"trace_rate": [], "trace_count": ["4"]}, model="m")
        assert await traced() == 4
        assert traces.values("m")["trace_count"] == ("0",)
        assert await traced() == 0
        traces.update({"trace_level": [], "trace_count": []}, model="m")
        assert await traced() == 0


async def test_what_belongs_to_a_trace_is_not_counted_by_the_settings(running, transport):
    async with running() as server:
        server.service.plane.traces.update({"trace_count": ["1"]}, model="m")
        for _ in range(3):
            await ask(server, transport, headers={"traceparent": SAMPLED})
        assert len(server.server_spans()) == 3
        assert server.service.plane.traces.values("m")["trace_count"] == ("1",)
        server.service.plane.traces.update({"trace_level": ["OFF"]}, model="m")
        await ask(server, transport, headers={"traceparent": SAMPLED})
        assert len(server.server_spans()) == 3


async def test_a_request_that_the_ratio_drops_uses_nothing_up(running, transport):
    async with running(ratio=0.0) as server:
        server.service.plane.traces.update({"trace_count": ["1"]}, model=None)
        await ask(server, transport)
        assert server.service.plane.traces.values(None)["trace_count"] == ("1",)


async def test_bound_values_of_one_call_do_not_reach_the_next(running):
    async with running() as server:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            async with server.a_call():
                await server.grpc.infer("m", vector(), headers={"x-request-id": "first"})
            async with server.a_call():
                await server.grpc.infer("m", vector())
    first, second = (line["request_id"] for line in logs if line["event"] == "request")
    assert first == "first"
    assert second != "first"
