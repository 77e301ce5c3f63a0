"""The edges of a call: its id, its line in the log, its count."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
import structlog
import tritonclient.grpc.aio as triton
from structlog.testing import capture_logs
from tritonclient.utils import InferenceServerException

from service.grpc.server import GrpcServer
from service.lifecycle import Service
from service.settings import Settings
from tests.service import tiny


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    tiny.write_plain(folder, "double", tiny.scale(2.0))
    tiny.write_plain(folder, "slow", tiny.slow(400))
    return folder


@asynccontextmanager
async def serving(models, **settings):
    """A service whose models are loaded, and its address."""
    chosen = Settings(repository=models, grpc_port=0, shutdown_grace_s=1, **settings)
    async with Service(chosen) as service, GrpcServer(service, chosen) as server:
        await until(lambda: service.plane.readiness().ready)
        yield service, f"127.0.0.1:{server.port}"


@asynccontextmanager
async def client_of(models, **settings):
    async with (
        serving(models, **settings) as (_, address),
        triton.InferenceServerClient(address) as client,
    ):
        yield client


async def until(condition):
    await asyncio.to_thread(tiny.wait_for, condition)


def inputs(*shape):
    tensor = triton.InferInput("x", shape, "FP32")
    return [tensor.set_data_from_numpy(np.ones(shape, np.float32))]


def counted(service):
    """The calls so far, by method and status."""
    return {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for metric in service.traffic.collect()
        for sample in metric.samples
        if "code" in sample.labels
    }


def lines(logs, event="request"):
    return [line for line in logs if line["event"] == event]


async def test_each_call_is_one_line(models):
    async with client_of(models) as client:
        with capture_logs() as logs:
            await client.infer("double", inputs(1, 2), model_version="1")
    (line,) = lines(logs)
    assert line.pop("duration_ms") > 0
    assert line.pop("bytes_in") > 20
    assert line.pop("bytes_out") > 20
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "ModelInfer",
        "model": "double",
        "version": "1",
        "status": "OK",
    }


async def test_a_refused_call_is_logged_at_info_with_what_was_wrong(models):
    async with client_of(models) as client:
        with capture_logs() as logs:
            for ask in (client.infer("nobody", inputs(1, 2)), client.get_model_config("nobody")):
                with pytest.raises(InferenceServerException):
                    await ask
            await until(lambda: len(logs) == 2)  # a client may know before the log does
    assert [line["log_level"] for line in logs] == ["info", "info"]
    assert [line["method"] for line in logs] == ["ModelInfer", "ModelConfig"]
    for line in logs:
        assert line["model"] == "nobody"
        assert line["status"] == "NOT_FOUND"
        assert line["error"] == "there is no model 'nobody'"


async def test_each_request_of_a_stream_is_a_line_and_the_stream_one_more(models):
    async def requests():
        for model in ("double", "nobody", "double"):
            yield {"model_name": model, "inputs": inputs(1, 2)}

    async with client_of(models) as client:
        with capture_logs() as logs:
            assert len([reply async for reply in client.stream_infer(requests())]) == 3
    each = lines(logs, "stream request")
    told = sorted((line["model"], line["status"], line.get("error")) for line in each)
    assert told[:2] == [("double", "OK", None)] * 2
    assert told[2:] == [("nobody", "NOT_FOUND", "there is no model 'nobody'")]
    (whole,) = lines(logs)
    assert (whole["method"], whole["status"], whole["requests"]) == ("ModelStreamInfer", "OK", 3)
    assert whole["bytes_in"] == sum(line["bytes_in"] for line in each)


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("trace-1:a.b", True), ("a b", False), ("x" * 129, False), ("", False), (None, False)],
)
async def test_a_sane_id_is_kept_and_comes_back(models, given, is_kept):
    async with serving(models) as (_, address), grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            call = ask(b"", metadata=() if given is None else (("x-request-id", given),))
            await call
            trailers = dict(await call.trailing_metadata())
    (line,) = lines(logs)
    assert trailers["x-request-id"] == line["request_id"]
    assert (line["request_id"] == given) is is_kept


async def test_an_error_has_the_id_too(models):
    async with serving(models) as (_, address), grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"", metadata=(("x-request-id", "mine"),))
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"


async def test_a_call_that_nobody_waits_for_any_more_is_cancelled_or_late(models):
    async with (
        serving(models) as (service, address),
        triton.InferenceServerClient(address) as client,
    ):
        with capture_logs() as logs:
            with pytest.raises(InferenceServerException):
                await client.infer("slow", inputs(1), client_timeout=0.05)
            await until(lambda: len(lines(logs)) == 1)
            waiting = asyncio.create_task(client.infer("slow", inputs(1)))
            await until(lambda: service.registry.find("slow").recorder.pending)
            waiting.cancel()
            await until(lambda: len(lines(logs)) == 2)
    assert [line["status"] for line in lines(logs)] == ["DEADLINE_EXCEEDED", "CANCELLED"]


async def test_a_stream_whose_client_goes_away_is_cancelled_with_its_requests(models):
    async def requests():
        yield {"model_name": "slow", "inputs": inputs(1)}
        await asyncio.Event().wait()

    async with (
        serving(models) as (service, address),
        triton.InferenceServerClient(address) as client,
    ):
        with capture_logs() as logs:
            replies = client.stream_infer(requests())
            waiting = asyncio.ensure_future(anext(replies))
            await until(lambda: service.registry.find("slow").recorder.pending)
            replies.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: len(lines(logs)) == 1)
    (whole,) = lines(logs)
    assert (whole["status"], whole["requests"]) == ("CANCELLED", 1)
    (one,) = lines(logs, "stream request")
    assert one["status"] == "CANCELLED"


async def test_a_stream_whose_client_goes_away_leaves_nothing_behind(models):
    async def requests():
        while True:
            yield {"model_name": "slow", "inputs": inputs(1)}

    def left():
        return [task for task in asyncio.all_tasks(loop) if "Methods." in repr(task.get_coro())]

    loop = asyncio.get_running_loop()
    async with (
        serving(models) as (_, address),
        triton.InferenceServerClient(address) as client,
    ):
        replies = client.stream_infer(requests())
        waiting = asyncio.ensure_future(anext(replies))
        await until(lambda: len(left()) > 32)
        await asyncio.sleep(0.1)
        assert len(left()) <= 33  # the requests, and what reads them
        replies.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: not left())


async def test_a_call_without_a_message_is_logged_and_counted(models):
    async with serving(models) as (service, address), grpc.aio.insecure_channel(address) as channel:
        ask = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        with capture_logs() as logs:
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(iter([]), timeout=5)
            await until(lambda: len(lines(logs)) == 1)
        assert counted(service) == {("ModelInfer", "INVALID_ARGUMENT"): 1}
    (line,) = lines(logs)
    assert (line["method"], line["status"]) == ("ModelInfer", "INVALID_ARGUMENT")
    assert line["error"] == "the call ended without a message; ModelInfer takes one"


async def test_a_call_that_is_cancelled_before_its_message_is_not_told_as_one_without(models):
    async def nothing():
        await asyncio.Event().wait()
        yield b""

    async with serving(models) as (_, address), grpc.aio.insecure_channel(address) as channel:
        ask = channel.stream_unary("/inference.GRPCInferenceService/ServerLive")
        with capture_logs() as logs:
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(nothing(), timeout=0.1)
            await until(lambda: len(lines(logs)) == 1)
    assert lines(logs)[0]["status"] in ("DEADLINE_EXCEEDED", "CANCELLED")


async def test_a_refusal_of_the_guard_is_logged_and_so_is_a_method_that_is_none(models):
    async with (
        serving(models, admin_key="the-admin-key") as (service, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        with capture_logs() as logs:
            for method in ("RepositoryModelUnload", "Nothing\x7f" + "x" * 500):
                ask = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
                with pytest.raises(grpc.aio.AioRpcError):
                    await ask(b"")
            await until(lambda: len(lines(logs)) == 2)
        seen = counted(service)
    refused, unknown = lines(logs)
    assert (refused["method"], refused["status"]) == ("RepositoryModelUnload", "UNAUTHENTICATED")
    assert unknown["status"] == "UNIMPLEMENTED"
    assert len(unknown["method"]) <= 256
    assert seen == {
        ("RepositoryModelUnload", "UNAUTHENTICATED"): 1,
        ("other", "UNIMPLEMENTED"): 1,
    }


async def test_health_checks_are_calls_like_others(models):
    async with serving(models) as (_, address), grpc.aio.insecure_channel(address) as channel:
        with capture_logs() as logs:
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
    (line,) = lines(logs)
    assert (line["method"], line["status"]) == ("grpc.health.v1.Health/Check", "OK")


async def test_the_messages_that_are_held_are_bounded_over_all_calls(models):
    async def requests(count):
        for _ in range(count):
            yield {"model_name": "slow", "inputs": inputs(1)}

    async with (
        serving(models, max_receiving_bytes=1) as (service, address),
        triton.InferenceServerClient(address) as client,
    ):
        first = asyncio.create_task(client.infer("slow", inputs(1)))
        await until(lambda: service.registry.find("slow").recorder.pending)
        with pytest.raises(InferenceServerException, match="have 1 bytes, the most") as refused:
            await client.infer("slow", inputs(1))
        assert refused.value.status() == "StatusCode.UNAVAILABLE"
        with pytest.raises(grpc.aio.AioRpcError, match="have 1 bytes, the most"):
            await anext(client.stream_infer(requests(1)))
        await first
        assert len([reply async for reply in client.stream_infer(requests(3))]) == 3
        await client.infer("double", inputs(1, 2))
