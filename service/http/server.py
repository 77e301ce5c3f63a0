"""An app on a port: a socket, and uvicorn as it is set up here. Handles no signals."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from service.errors import AddressUnavailable
from service.http.connection import BoundedProtocol
from service.http.express import Express
from service.intake import Intake
from service.settings import Settings

__all__ = ["HttpServer", "bind"]


class HttpServer(uvicorn.Server):
    """Serves an app until its ``should_exit`` is set.

    Args:
        app: that answers.
        settings: of the service.
        listener: that it listens on; whoever gives it closes it. Without one, it is given its
            connections (`adopt`).
        context: for TLS; not encrypted without one.
        express: answers what need not go to the app; all of it goes there without one.

    Attributes:
        host: that it listens on, as URLs have it.
        url: that it listens on.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        listener: socket.socket | None,
        context: ssl.SSLContext | None,
        express: Express | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(  # type: ignore[arg-type]  # it makes one, as a class does
                    BoundedProtocol,
                    express=express,
                    intake=Intake(most=settings.max_receiving_bytes),
                ),
                ssl_context_factory=None if context is None else lambda _, __: context,
                log_config=None,
                access_log=False,
                lifespan="on" if isinstance(app, FastAPI) else "off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=settings.shutdown_grace_s,
            )
        )
        self._listeners = [] if listener is None else [listener]
        address, port = ("", 0) if listener is None else listener.getsockname()[:2]
        self.host = f"[{address}]" if ":" in address else address
        self.url = f"{'http' if context is None else 'https'}://{self.host}:{port}"

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until it is told to stop, then let the requests in flight finish."""
        await super().serve(self._listeners if sockets is None else sockets)

    async def adopt(
        self,
        connection: socket.socket,
        make_protocol: Callable[..., BoundedProtocol] | None = None,
    ) -> None:
        """Answer a client that somebody else has accepted, once it serves.

        Args:
            connection: to the client, which may not be encrypted if a protocol is given.
            make_protocol: makes what speaks with it, from what uvicorn gives its protocols; that
                of all connections if left out.
        """
        loop = asyncio.get_running_loop()
        make: Callable[..., Any] = self.config.http_protocol_class
        made = partial(
            make_protocol or make,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        context = self.config.ssl if make_protocol is None else None
        connection.settimeout(0)
        with contextlib.suppress(OSError):  # it has gone, or does not speak TLS
            await loop.connect_accepted_socket(made, connection, ssl=context)

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
