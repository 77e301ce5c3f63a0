"""One live gRPC server for the whole folder."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from service.grpc.server import GrpcServer
from service.lifecycle import Service
from service.settings import Settings


@contextmanager
def live_grpc_server(settings: Settings) -> Iterator[str]:
    """A server on a free port in a thread, whose models are all loaded."""
    settings = settings.model_copy(update={"grpc_port": 0, "shutdown_grace_s": 1})
    started, stop = threading.Event(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with Service(settings) as service:
            server = GrpcServer(service, settings)
            async with server:
                while service.plane.readiness().reason is not None:
                    if "loading" not in service.plane.readiness().reason:
                        break
                    await asyncio.sleep(0.01)
                address.append(f"127.0.0.1:{server.port}")
                started.set()
                await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield address[0]
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def live_grpc() -> Callable[[Settings], AbstractContextManager[str]]:
    """For a test that wants settings of its own."""
    return live_grpc_server


@pytest.fixture(scope="session")
def grpc_url(repository: Path) -> Iterator[str]:
    with live_grpc_server(Settings(repository=repository, max_request_bytes=2**23)) as address:
        yield address


@pytest.fixture(scope="session")
def client(grpc_url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(grpc_url) as connected:
        yield connected
