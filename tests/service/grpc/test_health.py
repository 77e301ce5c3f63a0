"""Whether the server is ready, as those are told who watch it."""

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from service.dataplane import Readiness
from service.grpc.schema import SERVICE
from service.grpc.server import GrpcServer
from service.lifecycle import Service
from service.settings import Settings
from tests.service import tiny

GRACE_S = 20
Reply = health_pb2.HealthCheckResponse


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("health")
    tiny.write_plain(folder, "double", tiny.scale(2.0))
    return folder


@asynccontextmanager
async def watching(models, *names):
    """A service whose models are loaded, its server, and a call for each of the names."""
    settings = Settings(repository=models, grpc_port=0, shutdown_grace_s=GRACE_S)
    async with Service(settings) as service, GrpcServer(service, settings) as server:
        await asyncio.to_thread(tiny.wait_for, lambda: service.plane.readiness().ready)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            asked = [health_pb2.HealthCheckRequest(service=name) for name in names]
            yield service, server, [health.Watch(request) for request in asked]


async def status(call):
    return (await asyncio.wait_for(call.read(), 10)).status


async def test_those_who_watch_are_told_the_status_at_once_and_when_it_changes(models, monkeypatch):
    monkeypatch.setattr("service.grpc.server._POLL_S", 0.01)
    async with watching(models, "", SERVICE.full_name) as (service, _, calls):
        assert [await status(call) for call in calls] == [Reply.SERVING] * 2
        with monkeypatch.context() as changed:
            changed.setattr(service.plane, "readiness", lambda: Readiness("for a test"))
            assert [await status(call) for call in calls] == [Reply.NOT_SERVING] * 2
            await asyncio.sleep(0.1)
        assert [await status(call) for call in calls] == [Reply.SERVING] * 2


async def test_a_service_that_nobody_knows_is_told_as_that_and_may_come(models):
    async with watching(models, "other") as (_, _, (call,)):
        assert await status(call) == Reply.SERVICE_UNKNOWN
        assert not call.done()


async def test_when_the_server_stops_they_are_told_and_do_not_hold_it_up(models):
    async with watching(models, "", "other") as (_, server, calls):
        assert [await status(call) for call in calls] == [Reply.SERVING, Reply.SERVICE_UNKNOWN]
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < GRACE_S / 2
        assert await status(calls[0]) == Reply.NOT_SERVING
        assert [await call.read() for call in calls] == [grpc.aio.EOF] * 2
        assert [await call.code() for call in calls] == [grpc.StatusCode.OK] * 2


async def test_a_call_that_watches_is_one_line_and_counted(models, caplog):
    def seen():
        return [
            (sample.labels["method"], sample.value)
            for metric in service.traffic.collect()
            for sample in metric.samples
            if "code" in sample.labels
        ]

    async with watching(models, "") as (service, _, (call,)):
        with capture_logs() as logs:
            await status(call)
            call.cancel()
            await asyncio.to_thread(tiny.wait_for, lambda: len(logs) == 1)
        assert seen() == [("grpc.health.v1.Health/Watch", 1)]
    (line,) = logs
    assert (line["method"], line["requests"]) == ("grpc.health.v1.Health/Watch", 1)
    assert not [record for record in caplog.records if record.name.startswith("grpc")]
