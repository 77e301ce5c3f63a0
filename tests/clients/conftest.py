"""One real server process for the package, and clients that others wrote to ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import networks
from tests.clients.process import Served, served
from tests.clients.triton import MODULES, Client, connected


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    networks.write_all(folder)
    return folder


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Served]:
    with served(repository) as running:
        yield running


@pytest.fixture(scope="module", params=MODULES)
def client(request: pytest.FixtureRequest, server: Served) -> Iterator[Client]:
    """Each of Triton's four clients."""
    address = server.grpc if request.param.startswith("grpc") else server.http
    with connected(request.param, address) as opened:
        yield opened


@pytest.fixture(scope="module", params=["http", "http.aio"])
def http_client(request: pytest.FixtureRequest, server: Served) -> Iterator[Client]:
    with connected(request.param, server.http) as opened:
        yield opened


@pytest.fixture(scope="module", params=["grpc", "grpc.aio"])
def grpc_client(request: pytest.FixtureRequest, server: Served) -> Iterator[Client]:
    with connected(request.param, server.grpc) as opened:
        yield opened
