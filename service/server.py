"""The server process: binds, serves until told to stop, lets requests finish. Not for: routes."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
import uvicorn

from bundle import ProviderUnavailable, resolve
from service.errors import AddressUnavailable, ProviderMissing
from service.grpc.server import GrpcServer
from service.http import create_app
from service.lifecycle import Service
from service.loading import check_repository
from service.logs import configure_logging
from service.settings import Settings

__all__ = ["serve"]

_POLL_S = 0.1

_log = structlog.stdlib.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let the requests in flight finish and return.

    Side effects: configures logging; while it serves, handles those two signals. If requests are
    still being computed when the time for them is over, the process ends here with status 1: a
    run cannot be stopped from outside.

    Raises:
        StartupError: the repository, the provider or the address is not there.
    """
    configure_logging(log_format=settings.log_format, level=settings.log_level)
    check_repository(settings.repository)
    _check_provider(settings)
    listener = _bind(settings.host, settings.http_port)
    service = Service(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, service=service),
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        )
    )
    loop_factory = server.config.get_loop_factory()  # uvloop's
    with listener, _signals_end_only(server), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(settings, service, server, listener))
    if service.pool.pending:
        _log.error("stopped with runs unfinished", runs=service.pool.pending)
        os._exit(1)  # leaving otherwise waits for their threads, which nothing can end
    _log.info("stopped")


async def _serve(
    settings: Settings, service: Service, server: uvicorn.Server, listener: socket.socket
) -> None:
    """Both transports over one service, until the HTTP server is told to stop."""
    grpc_server = GrpcServer(
        service.plane,
        service.control,
        host=settings.host,
        port=settings.grpc_port,
        max_request_bytes=settings.max_request_bytes,
        grace_s=settings.shutdown_grace_s,
    )
    async with service, grpc_server:
        address, port = listener.getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        _log.info(
            "listening",
            url=f"http://{host}:{port}",
            grpc=f"{host}:{grpc_server.port}",
            repository=str(settings.repository),
        )
        await asyncio.gather(server.serve(sockets=[listener]), _stop_together(server, grpc_server))


async def _stop_together(server: uvicorn.Server, grpc_server: GrpcServer) -> None:
    """Let gRPC's calls finish while HTTP's do, and not after them."""
    while not server.should_exit:  # noqa: ASYNC110  # uvicorn has a flag and no event
        await asyncio.sleep(_POLL_S)
    await grpc_server.stop()


def _check_provider(settings: Settings) -> None:
    try:
        resolve(settings.provider)
    except ProviderUnavailable as err:
        raise ProviderMissing(str(err)) from err


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as err:  # the latter: a name that no host can have
        reason = err.strerror if isinstance(err, OSError) else err
        raise AddressUnavailable(
            f"cannot listen on {host}:{port}: {reason}; choose another host or port"
        ) from err


@contextmanager
def _signals_end_only(server: uvicorn.Server) -> Iterator[None]:
    # uvicorn handles the signals while it serves; once it has stopped it raises them again, which
    # by default would end the process with that signal instead of returning from here.
    def stop(_: int, __: FrameType | None) -> None:
        if not server.started:
            raise SystemExit(0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
