"""The main process's HTTP server where fronts have its port: it answers what they pass on.

It accepts the connections and deals them out in turn: where each front accepted them, the first to
wake up would take all that come at once.
"""

import asyncio
import socket
from functools import partial
from typing import Any

from fastapi import FastAPI

from service.engine import Zygote
from service.fronts.fronts import Fronts
from service.fronts.visitor import Visitor
from service.http.server import HttpServer
from service.lifecycle import Service
from service.settings import Settings
from service.tls import Tls

__all__ = ["FrontedServer"]


class FrontedServer(HttpServer):
    """Serves an app behind fronts, as `HttpServer` does without.

    Args:
        app: that answers what the fronts do not.
        settings: of the service.
        service: what the fronts ask.
        listener: that is listened on.
        tls: what the fronts encrypt with.
        zygote: what they are forked from.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        *,
        service: Service,
        listener: socket.socket,
        tls: Tls | None,
        zygote: Zygote,
    ) -> None:
        super().__init__(app, settings, listener=listener, context=tls.context() if tls else None)
        self._listener = listener
        self._is_encrypted = tls is not None
        self._fronts = Fronts(service, settings, zygote=zygote, visited=self._visited)
        self._accepting: asyncio.Task[None] | None = None
        self._arriving: set[asyncio.Task[None]] = set()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until it is told to stop, then let the requests in flight finish."""
        await super().serve([] if sockets is None else sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        await self._fronts.start()
        self._accepting = asyncio.create_task(self._fronts.accept(self._listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections; let the requests in flight finish, first those of the fronts."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        self._listener.close()
        await self._fronts.stop()
        await super().shutdown(sockets)

    def _visited(self, fd: int, client: Any, server: Any) -> None:
        make = partial(Visitor, client=client, server=server, is_encrypted=self._is_encrypted)
        arriving = asyncio.create_task(self.adopt(socket.socket(fileno=fd), make))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)
