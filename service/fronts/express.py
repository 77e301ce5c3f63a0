"""Infer requests in a front: taken apart here, computed in the main process, put together here.

Whatever is not sure here is asked of the app: it has the last word on what a model is, on what is
wrong with a request, and on how that is told, logged and counted.
"""

import asyncio
from http import HTTPStatus
from typing import Final, cast

from fastapi import Response
from starlette.types import Message

from service.dataplane import DataPlane
from service.errors import ServiceError
from service.fronts.messages import Birth, Elsewhere
from service.fronts.plane import FrontPlane
from service.fronts.relay import Relay
from service.http.connection import BoundedProtocol
from service.http.express import Connection, Exchange, Express, Head
from service.metrics import Traffic
from service.tracing import Tracing

__all__ = ["FrontExpress"]


class _Tracing:
    """What `Express` asks of the tracing."""

    def __init__(self, *, is_on: bool) -> None:
        self.is_on: Final = is_on


class FrontExpress(Express):
    """Answers infer requests.

    Args:
        plane: asks the main process.
        relay: has requests answered by its app.
        birth: what the front was born with.
    """

    def __init__(self, plane: FrontPlane, relay: Relay, birth: Birth) -> None:
        super().__init__(
            # each has what is asked of it
            cast("DataPlane", plane),
            guard=birth.guard,
            traffic=cast("Traffic", plane),
            tracing=cast("Tracing", _Tracing(is_on=birth.is_tracing)),
            max_request_bytes=birth.settings.max_request_bytes,
            compression_level=birth.settings.compression_level,
        )
        self._relay = relay
        self._bodies: dict[Exchange, bytes] = {}

    def take(self, connection: Connection, head: Head) -> Exchange | None:
        """A request whose head has come; ``None`` where it is for the app."""
        exchange = super().take(connection, head)
        if exchange is not None:
            self._bodies[exchange] = b""
        return exchange

    def begin(self, exchange: Exchange) -> None:
        """Answer a request that is whole; it is kept until then, for the app."""
        exchange.body = [b"".join(exchange.body)]  # which copies nothing where it came at once
        self._bodies[exchange] = exchange.body[0]
        super().begin(exchange)

    def _fail(self, exchange: Exchange, error: Exception) -> None:
        """Refusals of the main process are told here; what it was not asked is asked of the app."""
        is_refused_here = isinstance(error, ServiceError) and exchange.answer is None
        if is_refused_here or isinstance(error, Elsewhere):
            body = self._bodies.pop(exchange)  # here, because the task may not even begin
            exchange.answer = asyncio.create_task(self._ask_app(exchange, body))
        else:
            super()._fail(exchange, error)

    def _count(
        self, exchange: Exchange, status: int, *, bytes_out: int, error: str | None = None
    ) -> None:
        self._bodies.pop(exchange, None)
        super()._count(exchange, status, bytes_out=bytes_out, error=error)

    async def _ask_app(self, exchange: Exchange, body: bytes) -> None:
        head = exchange.head
        connection = cast("BoundedProtocol", exchange.connection)
        collected = _Collected(body)
        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": head.path.encode(),
            "query_string": b"",
            "headers": head.headers,
            "client": connection.client,
            "server": connection.server,
        }
        try:
            await self._relay(scope, collected.receive, collected.send)
        except Exception as err:  # noqa: BLE001  # the edge of the process, as in `Express`
            super()._fail(exchange, err)
        else:
            connection.reply(exchange, collected.response())


class _Collected:
    """A request that is whole already, and its reply until it is.

    Args:
        body: of the request.
    """

    def __init__(self, body: bytes) -> None:
        self._requests = [{"type": "http.request", "body": body, "more_body": False}]
        self._status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    async def receive(self) -> Message:
        """The request; then nothing, until whoever waits is cancelled."""
        if not self._requests:
            await asyncio.get_running_loop().create_future()
        return self._requests.pop()

    async def send(self, message: Message) -> None:
        """A part of the reply."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        else:
            self._body.append(message["body"])

    def response(self) -> Response:
        """The reply."""
        response = Response(b"".join(self._body), self._status)
        response.raw_headers = self._headers
        return response
