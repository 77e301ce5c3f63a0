"""A service of both transports in this process, whose spans stay in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import tritonclient.grpc.aio as triton
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bundle import Datatype
from bundle.tensors import TensorSpec
from service.grpc.server import GrpcServer
from service.http import create_app
from service.lifecycle import Service
from service.registry import ServedModel
from service.runner import Computed
from service.settings import Settings
from service.signature import Signature
from service.statistics import ExecutionTimes
from service.tracing import Tracing
from tests.service import tiny


class Scripted(tiny.Runner):
    """Gives its input back, after the times that it claims to have taken; or fails."""

    def __init__(self, times: ExecutionTimes, error: Exception | None = None) -> None:
        self._times = times
        self._error = error

    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        if self._error is not None:
            raise self._error
        return Computed({"y": inputs["x"]}, self._times)


@dataclass
class Running:
    """Both transports, and what they traced."""

    service: Service
    http: httpx.AsyncClient
    grpc: triton.InferenceServerClient
    exporter: InMemorySpanExporter

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]

    def server_spans(self) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.kind.name == "SERVER"]

    @asynccontextmanager
    async def a_call(self) -> AsyncIterator[None]:
        """A call over gRPC: its client has the answer before the server is done with it."""
        before = self._calls()
        yield
        async with asyncio.timeout(10):
            while self._calls() == before:  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0)

    def _calls(self) -> float:
        families = self.service.traffic.collect()
        return sum(s.value for f in families if "grpc" in f.name for s in f.samples)

    def only(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.spans() if span.name == name)
        return span

    def serve(self, name: str, times: ExecutionTimes, error: Exception | None = None) -> None:
        """Have a model that takes and gives a vector."""
        tensors = {n: TensorSpec(name=n, datatype=Datatype.FP32, shape=("n",)) for n in "xy"}
        self.service.registry.begin_loading(name, 1)
        self.service.registry.finish_loading(
            ServedModel(
                name=name,
                version=1,
                signature=Signature(inputs=(tensors["x"],), outputs=(tensors["y"],)),
                runner=Scripted(times, error),
                consistency=tiny.consistency(name),
            )
        )


@pytest.fixture
def running(tmp_path):
    @asynccontextmanager
    async def run(*, ratio: float | None = None) -> AsyncIterator[Running]:
        exporter = InMemorySpanExporter()
        tracing = Tracing(lambda: SimpleSpanProcessor(exporter), ratio=ratio)
        settings = Settings(repository=tmp_path, grpc_port=0)
        service = Service(settings, tracing=tracing)
        app = create_app(settings, service=service)
        server = GrpcServer(service, settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            service,
            app.router.lifespan_context(app),
            server,
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
            triton.InferenceServerClient(f"127.0.0.1:{server.port}") as grpc,
        ):
            running = Running(service, http, grpc, exporter)
            running.serve("m", ExecutionTimes(queue=3_000_000, compute=5_000_000))
            yield running

    return run
