"""An infer request in a front, and what it makes the main process do; both in one process."""

import asyncio
import gc
import os
import socket
import weakref
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from bundle import Datatype, TensorSpec
from service.errors import Overloaded
from service.fronts.desk import Desk
from service.fronts.directory import Directory
from service.fronts.express import FrontExpress
from service.fronts.line import Line
from service.fronts.messages import Birth
from service.fronts.plane import FrontPlane
from service.fronts.relay import Relay
from service.lifecycle import Service
from service.registry import ServedModel
from service.runner import Computed
from service.settings import Settings
from service.signature import Signature
from service.statistics import ExecutionTimes
from tests.service import tiny
from tests.service.serving import settle


class Runner(tiny.Runner):
    """Doubles what it is given, once it may."""

    def __init__(self):
        self.may = asyncio.Event()
        self.may.set()
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()
        self.error = None

    async def run(self, inputs, outputs, *, priority, timeout_us):
        self.asked.set()
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.gone.set()
            raise
        if self.error is not None:
            raise self.error
        return Computed({"y": inputs["x"] * 2}, ExecutionTimes(queue=1, compute=1))


def model(runner):
    spec = {name: TensorSpec(name=name, datatype=Datatype.FP32, shape=("n",)) for name in "xy"}
    return ServedModel(
        name="m",
        version=1,
        signature=Signature(inputs=(spec["x"],), outputs=(spec["y"],)),
        runner=runner,
        consistency=tiny.consistency(),
    )


class Client:
    """A connection."""

    client, server = ("127.0.0.1", 1), ("127.0.0.1", 2)

    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def reply(self, exchange, response):
        self.answer.set_result(response)


@asynccontextmanager
async def fronted(tmp_path):
    """A service, a front, and how to ask that; what goes to the app is in ``visits``."""
    settings = Settings(repository=tmp_path)
    runner = Runner()
    async with Service(settings) as service:
        service.registry.begin_loading("m", 1)
        service.registry.finish_loading(model(runner))
        directory = Directory(service.registry)
        visits = []

        def visited(fd, client, server):
            visits.append((client, server))
            os.close(fd)

        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        desk = Desk(service, directory, visited=visited)
        desk.line = Line(here, received=desk.received, lost=desk.close)
        line = Line(there, received=lambda message, _: plane.received(message), lost=lambda: None)
        plane = FrontPlane(line)
        birth = Birth(settings=settings, guard=service.guard, is_tracing=False)
        express = FrontExpress(plane, Relay(line), birth)
        for message in directory.update():
            desk.line.send(message)
        await asyncio.sleep(0.01)

        def ask(values, name="x"):
            array = np.asarray(values, np.float32)
            tensor = {"name": name, "shape": array.shape, "datatype": "FP32", "data": array}
            body = orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)
            client = Client()
            size = str(len(body)).encode()
            headers = [(b"host", b"here"), (b"content-length", size)]
            exchange = express.take(client, express.read(b"/v2/models/m/infer", headers))
            exchange.body.append(body)
            express.begin(exchange)
            return exchange, client.answer

        yield SimpleNamespace(
            ask=ask, runner=runner, service=service, visits=visits, line=line, express=express
        )
        line.close()
        desk.line.close()


def counted(service, status):
    sample = {"method": "POST", "route": "/v2/models/{model}/infer", "status": status}
    (metric, _) = service.traffic.collect()
    return sum(found.value for found in metric.samples if found.labels == sample)


@pytest.mark.parametrize("size", [2, 50_000])
async def test_it_is_computed_and_counted_without_the_app(tmp_path, size):
    async with fronted(tmp_path) as front:
        _, answer = front.ask(np.arange(size))
        reply = await answer
        assert reply.status_code == 200
        assert orjson.loads(reply.body)["outputs"][0]["data"][-1] == 2 * (size - 1)
        recorder = front.service.plane.model("m").recorder
        await settle(lambda: counted(front.service, "200") == 1)
        assert recorder.pending == 0
        assert recorder.statistics.success.count == 1
        assert front.visits == []


async def test_what_the_main_process_refuses_is_told(tmp_path):
    async with fronted(tmp_path) as front:
        front.runner.error = Overloaded("too much waits", retry_after_s=7)
        _, answer = front.ask([1])
        reply = await answer
        assert reply.status_code == 503
        assert reply.headers["Retry-After"] == "7"
        await settle(lambda: counted(front.service, "503") == 1)
        assert front.service.plane.model("m").recorder.pending == 0
        assert front.visits == []


async def test_a_bug_in_the_main_process_is_logged_with_where_it_was(tmp_path):
    processors = [structlog.processors.format_exc_info]
    async with fronted(tmp_path) as front:
        front.runner.error = ZeroDivisionError("at last")
        with capture_logs(processors=processors) as logs:
            _, answer = front.ask([1])
            reply = await answer
        assert (reply.status_code, orjson.loads(reply.body)) == (500, {"error": "internal error"})
    (told,) = [line["exception"] for line in logs if line["log_level"] == "error"]
    assert "ZeroDivisionError" in told
    assert "in run" in told


async def test_what_cannot_be_is_asked_of_the_app(tmp_path):
    async with fronted(tmp_path) as front:
        front.ask([1], name="nobody")
        await settle(lambda: front.visits == [(Client.client, Client.server)])


async def test_a_model_that_was_replaced_meanwhile_is_asked_by_way_of_the_app(tmp_path):
    async with fronted(tmp_path) as front:
        front.service.registry.replace(model(Runner()))
        front.ask([1])
        await settle(lambda: len(front.visits) == 1)
        assert not front.runner.asked.is_set()


async def test_who_goes_away_is_not_computed_for(tmp_path):
    async with fronted(tmp_path) as front:
        front.runner.may.clear()
        exchange, _ = front.ask([1])
        await front.runner.asked.wait()
        exchange.abandon()
        await front.runner.gone.wait()
        await settle(lambda: counted(front.service, "499") == 1)
        assert front.service.plane.model("m").recorder.pending == 0


async def test_nor_is_anything_kept_for_who_goes_away(tmp_path):
    async with fronted(tmp_path) as front:
        for name in ("x", "nobody"):
            exchange, _ = front.ask([1], name=name)
            kept = weakref.ref(exchange)
            exchange.abandon()  # before anything else could run
            await asyncio.sleep(0.05)
            del exchange
            gc.collect()
            assert kept() is None


async def test_nor_are_the_requests_of_a_front_that_is_gone(tmp_path):
    async with fronted(tmp_path) as front:
        front.runner.may.clear()
        front.ask([1])
        await front.runner.asked.wait()
        front.line.close()
        await front.runner.gone.wait()
        assert front.service.plane.model("m").recorder.pending == 0
