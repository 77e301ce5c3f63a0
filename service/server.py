"""The server process: binds, serves until told to stop, lets requests finish. Not for: routes."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import structlog

from bundle import ProviderUnavailable, resolve
from service.engine import Zygote
from service.errors import ProviderMissing
from service.fronts import FrontedServer
from service.grpc.server import GrpcServer
from service.http import create_app
from service.http.express import Express
from service.http.monitoring import create_monitoring_app
from service.http.server import HttpServer, bind
from service.lifecycle import Service
from service.logs import configure_logging
from service.repository import check_repository
from service.settings import Settings
from service.tls import Tls

__all__ = ["serve"]

_POLL_S = 0.1

_log = structlog.stdlib.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let the requests in flight finish and return.

    Side effects: configures logging; while it serves, handles those two signals; forks the process
    that those of the models are forked from, and the one that those of HTTP are. If runs are still
    going on when the time for them is over, they are ended; one that cannot be, because it is on a
    thread and in a kernel that does not end, ends this process with status 1.

    Raises:
        StartupError: the repository, the provider, the address, a key or a certificate is not
            there, or is none.
    """
    logs = configure_logging(log_format=settings.log_format, level=settings.log_level)
    check_repository(settings.repository)
    _check_provider(settings)
    tls = Tls.of(settings)
    with ExitStack() as stack:
        # first, so that they have nothing of what comes
        for_fronts = _zygote() if settings.http_workers > 1 else None
        if for_fronts is not None:
            stack.callback(for_fronts.close)
        listener = stack.enter_context(bind(settings.host, settings.http_port))
        for_metrics = None
        if settings.metrics_port != "none":
            for_metrics = stack.enter_context(bind(settings.host, settings.metrics_port))
        zygote = _zygote() if settings.isolation == "process" else None
        if zygote is not None:
            stack.callback(zygote.close)
        service = Service(settings, logs=logs, zygote=zygote)
        app = create_app(settings, service=service)
        http: HttpServer
        if for_fronts is None:
            http = HttpServer(
                app,
                settings,
                listener=listener,
                context=tls.context() if tls else None,
                express=Express.of(settings, service),
            )
        else:
            http = FrontedServer(
                app, settings, service=service, listener=listener, tls=tls, zygote=for_fronts
            )
        servers = [http]
        if for_metrics is not None:
            metrics = HttpServer(
                create_monitoring_app(service),
                settings,
                listener=for_metrics,
                context=tls.context(ask_clients=False) if tls else None,
            )
            servers.append(metrics)
        stack.enter_context(_signals_end_only(http))
        runner = asyncio.Runner(loop_factory=http.config.get_loop_factory())  # uvloop's
        stack.enter_context(runner).run(_serve(service, settings, servers, tls))
    if service.workshop.pending:
        _log.error("stopped with runs unfinished", runs=service.workshop.pending)
        os._exit(1)  # leaving otherwise waits for their threads, which nothing can end
    _log.info("stopped")


async def _serve(
    service: Service, settings: Settings, servers: list[HttpServer], tls: Tls | None
) -> None:
    """Everything over one service, until the first of the servers is told to stop."""
    http, *beside = servers
    grpc_server = GrpcServer(service, settings, tls)
    async with service, grpc_server:
        _log.info(
            "listening",
            url=http.url,
            grpc=f"{http.host}:{grpc_server.port}",
            metrics=beside[0].url if beside else None,
            **service.guard.rules,
            repository=str(settings.repository),
        )
        await asyncio.gather(
            *(server.serve() for server in servers), _stop_together(http, grpc_server, beside)
        )


async def _stop_together(
    http: HttpServer, grpc_server: GrpcServer, beside: list[HttpServer]
) -> None:
    """Let gRPC's calls finish while HTTP's do, and not after them; metrics are told until then."""
    while not http.should_exit:  # noqa: ASYNC110  # uvicorn has a flag and no event
        await asyncio.sleep(_POLL_S)
    await grpc_server.stop()
    for server in beside:
        server.should_exit = True


def _check_provider(settings: Settings) -> None:
    try:
        resolve(settings.policy)
    except ProviderUnavailable as err:
        raise ProviderMissing(str(err)) from err


def _zygote() -> Zygote:
    return Zygote.fork() if threading.active_count() == 1 else Zygote.launch()


@contextmanager
def _signals_end_only(server: HttpServer) -> Iterator[None]:
    """Make the two signals stop the server, or the process while it does not serve yet."""

    def stop(number: int, frame: FrameType | None) -> None:
        if not server.started:
            raise SystemExit(0)
        server.handle_exit(number, frame)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
