"""The server process: binds, serves until told to stop, lets requests finish. Not for: routes."""

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
from service.http import create_app
from service.lifecycle import Service
from service.loading import check_repository
from service.logs import configure_logging
from service.settings import Settings

__all__ = ["serve"]

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
    address, port = listener.getsockname()[:2]
    url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    with listener, _signals_end_only(server):
        _log.info("listening", url=url, repository=str(settings.repository))
        server.run(sockets=[listener])
    if service.pool.pending:
        _log.error("stopped with runs unfinished", runs=service.pool.pending)
        os._exit(1)  # leaving otherwise waits for their threads, which nothing can end
    _log.info("stopped")


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
