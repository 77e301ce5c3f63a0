"""Around every request: its id, its line in the log, and the last resort. Knows no routes.

Also answers HEAD as GET without the body, which the framework leaves to each route.
"""

import re
import time
import uuid
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import ERROR_KEY, internal_error

__all__ = ["AccessMiddleware"]

_log = structlog.stdlib.get_logger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_CLIENT_WENT_AWAY = 499
"""What nginx logs; no such status is ever sent."""


class AccessMiddleware:
    """Gives each request an id, and logs one line about it when it is over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        exchange = _Exchange(
            scope,
            receive,
            send,
            request_id=given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex,
        )
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._app(exchange.scope, exchange.receive, exchange.send)
            except ClientDisconnect:
                exchange.status = _CLIENT_WENT_AWAY
            except Exception:
                # The process's edge: a bug costs this request a 500 and its traceback a place in
                # the log; the server goes on.
                _log.exception("unexpected error")
                if exchange.status is not None:
                    raise
                await internal_error()(exchange.scope, exchange.receive, exchange.send)
            finally:
                _log.info("request", **exchange.summary())


class _Exchange:
    """One request and its reply, watched on their way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, request_id: str) -> None:
        self.request_id = request_id
        self.status: int | None = None
        self._is_head = scope["method"] == "HEAD"
        self.scope: Scope = {**scope, "method": "GET"} if self._is_head else scope
        self._receive = receive
        self._send = send
        self._bytes_in = 0
        self._bytes_out = 0
        self._began = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.request_id
        elif self._is_head:
            message = {**message, "body": b""}
        self._bytes_out += len(message.get("body", b""))
        await self._send(message)

    def summary(self) -> dict[str, Any]:
        parameters = self.scope.get("path_params", {})
        named = {name: parameters[name] for name in ("model", "version") if name in parameters}
        refusal = {"error": self.scope[ERROR_KEY]} if ERROR_KEY in self.scope else {}
        return {
            "method": "HEAD" if self._is_head else self.scope["method"],
            "path": self.scope["path"],
            **named,
            **refusal,
            "status": int(self.status or HTTPStatus.INTERNAL_SERVER_ERROR),
            "duration_ms": round((time.perf_counter() - self._began) * 1e3, 3),
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
        }
