"""The edges of a request: ids, the log line, bugs, and clients that go away."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from bundle import Datatype
from bundle.tensors import TensorSpec
from service.http import create_app
from service.lifecycle import Service
from service.registry import ServedModel
from service.runner import Computed
from service.settings import Settings
from service.signature import Signature
from service.statistics import ExecutionTimes
from tests.service import tiny

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}


class Exploding(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        raise ZeroDivisionError("the secret of the bug")


class Echo(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        structlog.get_logger().info("inside")
        return Computed({"y": inputs["x"]}, ExecutionTimes(queue=0, compute=0))


def model(name, runner):
    tensors = {n: TensorSpec(name=n, datatype=Datatype.FP32, shape=("n",)) for n in "xy"}
    signature = Signature(inputs=(tensors["x"],), outputs=(tensors["y"],))
    return ServedModel(
        name=name,
        version=1,
        signature=signature,
        runner=runner,
        consistency=tiny.consistency(name),
    )


@asynccontextmanager
async def client_of(tmp_path, **runners):
    settings = Settings(repository=tmp_path)
    service = Service(settings)
    for name, runner in runners.items():
        service.registry.begin_loading(name, 1)
        service.registry.finish_loading(model(name, runner))
    app = create_app(settings, service=service)
    async with service, app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_a_bug_is_an_internal_error_to_the_client_and_a_traceback_in_the_log(tmp_path):
    async with client_of(tmp_path, bomb=Exploding(), echo=Echo()) as client:
        with capture_logs() as logs:
            reply = await client.post("/v2/models/bomb/infer", json=BODY)
        assert reply.status_code == 500
        assert reply.json() == {"error": "internal error"}
        (unexpected,) = [line for line in logs if line["event"] == "unexpected error"]
        assert unexpected["exc_info"]
        assert (await client.post("/v2/models/echo/infer", json=BODY)).status_code == 200


async def test_each_request_is_one_line(tmp_path):
    async with client_of(tmp_path, echo=Echo()) as client:
        with capture_logs() as logs:
            await client.post("/v2/models/echo/versions/1/infer", json=BODY)
        (line,) = [line for line in logs if line["event"] == "request"]
    assert line.pop("duration_ms") > 0
    assert line.pop("bytes_in") > 60
    assert line.pop("bytes_out") > 70
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "path": "/v2/models/echo/versions/1/infer",
        "model": "echo",
        "version": "1",
        "status": 200,
    }


async def test_a_refused_request_is_logged_at_info_with_what_was_wrong(tmp_path):
    async with client_of(tmp_path, echo=Echo()) as client:
        with capture_logs() as logs:
            await client.post("/v2/models/echo/infer", content=b"{")
            await client.get("/v2/models/nobody")
    levels = [line["log_level"] for line in logs]
    assert levels == ["info", "info"]
    assert "not valid JSON" in logs[0]["error"]
    assert logs[1]["error"] == "there is no model 'nobody'"


async def test_a_sane_request_id_is_kept_and_reaches_the_log(tmp_path):
    async with client_of(tmp_path, echo=Echo()) as client:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            reply = await client.post(
                "/v2/models/echo/infer", json=BODY, headers={"X-Request-ID": "trace-1:a.b"}
            )
    assert reply.headers["x-request-id"] == "trace-1:a.b"
    assert {line["request_id"] for line in logs} == {"trace-1:a.b"}
    assert {line["event"] for line in logs} == {"inside", "request"}


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 129, "é".encode()])
async def test_any_other_request_id_is_replaced(tmp_path, given):
    async with client_of(tmp_path) as client:
        replies = [
            await client.get("/v2", headers=[(b"X-Request-ID", given)] if given else None)
            for _ in range(2)
        ]
    first, second = (reply.headers["x-request-id"] for reply in replies)
    assert first != second
    assert len(first) == 32


async def test_what_a_client_chose_is_bounded_in_the_log(tmp_path):
    async with client_of(tmp_path) as client:
        with capture_logs() as logs:
            await client.get(f"/v2/models/{'m' * 5000}")
            await client.request("BREW" * 500, f"/{'p' * 5000}")
    texts = [value for line in logs for value in line.values() if isinstance(value, str)]
    assert max(map(len, texts)) == 256


async def test_a_client_that_goes_away_while_it_sends_is_no_error(tmp_path):
    settings = Settings(repository=tmp_path)
    service = Service(settings)
    service.registry.begin_loading("echo", 1)
    service.registry.finish_loading(model("echo", Echo()))
    app = create_app(settings, service=service)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/models/echo/infer",
        "raw_path": b"/v2/models/echo/infer",
        "query_string": b"",
        "headers": [(b"content-length", b"100")],
    }
    messages = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    sent = []

    async def receive():
        await asyncio.sleep(0)
        return next(messages)

    async def send(message):
        sent.append(message)

    with capture_logs() as logs:
        await app(scope, receive, send)
    assert sent == []
    (line,) = logs
    assert line["status"] == 499
    assert line["log_level"] == "info"
