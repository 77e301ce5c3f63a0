"""An app on a port: a socket, and uvicorn as it is set up here. Handles no signals."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI

from service.errors import AddressUnavailable
from service.http.connection import BoundedProtocol
from service.http.express import Express
from service.settings import Settings

__all__ = ["HttpServer", "bind"]


class HttpServer(uvicorn.Server):
    """Serves an app until its ``should_exit`` is set.

    Args:
        app: that answers.
        settings: of the service.
        listener: that it listens on; whoever gives it closes it.
        context: for TLS; not encrypted without one.
        express: answers what need not go to the app; all of it goes there without one.

    Attributes:
        host: that it listens on, as URLs have it.
        url: that it listens on.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        *,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        express: Express | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(BoundedProtocol, express=express),  # type: ignore[arg-type]
                ssl_context_factory=None if context is None else lambda _, __: context,
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
        self._listener = listener
        address, port = listener.getsockname()[:2]
        self.host = f"[{address}]" if ":" in address else address
        self.url = f"{'http' if context is None else 'https'}://{self.host}:{port}"

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until it is told to stop, then let the requests in flight finish."""
        await super().serve([self._listener] if sockets is None else sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections; let the requests in flight finish."""
        if self.config.ssl is not None:
            # TLS says farewell and waits for the client's, which one that is idle does not send
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol) and _is_idle(connection):
                    connection.transport.abort()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the process, which has more to stop than one server."""
        yield


def _is_idle(connection: BoundedProtocol) -> bool:
    cycle = connection.cycle
    return cycle is None or cycle.response_complete  # type: ignore[redundant-expr]  # None at first


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        AddressUnavailable: the address cannot be bound.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as err:  # the latter: a name that no host can have
        reason = err.strerror if isinstance(err, OSError) else err
        raise AddressUnavailable(
            f"cannot listen on {host}:{port}: {reason}; choose another host or port"
        ) from err
