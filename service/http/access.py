"""Around every request: its id, its trace, its line in the log, its count, and the last resort.

Also answers HEAD as GET without the body, which the framework leaves to each route.
"""

import time
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import ERROR_KEY, internal_error
from service.http.spans import HttpRequest, is_probe, outcome_of, span_name
from service.metrics import Traffic
from service.request_log import log_request, request_id_of
from service.tracing import Tracing
from service.tracing.current import failed, in_trace

__all__ = ["AccessMiddleware"]

_log = structlog.stdlib.get_logger(__name__)

_CLIENT_WENT_AWAY: Final = 499
"""What nginx logs; no such status is ever sent."""


class AccessMiddleware:
    """Gives each request an id, and logs one line about it when it is over.

    Args:
        app: that answers.
        traffic: counts what it answers.
        tracing: traces what it answers.
    """

    def __init__(self, app: ASGIApp, *, traffic: Traffic, tracing: Tracing) -> None:
        self._app = app
        self._traffic = traffic
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope).get("x-request-id"))
        exchange = _Exchange(scope, receive, send, request_id=request_id)
        trace = None
        if not is_probe(scope["path"]):
            trace = self._tracing.open(HttpRequest(scope, request_id))
        with structlog.contextvars.bound_contextvars(request_id=request_id), in_trace(trace):
            try:
                await self._app(exchange.scope, exchange.receive, exchange.send)
            except ClientDisconnect:
                exchange.status = _CLIENT_WENT_AWAY
            except Exception as err:
                # The process's edge: a bug costs this request a 500 and its traceback a place in
                # the log; the server goes on.
                _log.exception("unexpected error")
                failed(err)
                if exchange.status is not None:
                    raise
                await internal_error()(exchange.scope, exchange.receive, exchange.send)
            finally:
                summary = exchange.summary()
                status, route = summary["status"], exchange.route
                self._traffic.count_http(summary["method"], route, status)
                if trace is not None:
                    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
                    trace.end(
                        name=span_name(scope, route),
                        attributes=outcome_of(route, status),
                        error_type=str(status) if is_ours else None,
                    )
                log_request(**summary)


class _Exchange:
    """One request and its reply, watched on their way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, request_id: str) -> None:
        self.status: int | None = None
        self._request_id = request_id
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
            MutableHeaders(scope=message)["X-Request-ID"] = self._request_id
        elif self._is_head:
            message = {**message, "body": b""}
        self._bytes_out += len(message.get("body", b""))
        await self._send(message)

    @property
    def route(self) -> str | None:
        """The template of the route that took the request; None where none has."""
        return getattr(self.scope.get("route"), "path", None)

    def summary(self) -> dict[str, Any]:
        parameters = self.scope.get("path_params", {})
        return {
            "method": "HEAD" if self._is_head else self.scope["method"],
            "path": self.scope["path"],
            "model": parameters.get("model"),
            "version": parameters.get("version"),
            "error": self.scope.get(ERROR_KEY),
            "status": int(self.status or HTTPStatus.INTERNAL_SERVER_ERROR),
            "duration_ms": round((time.perf_counter() - self._began) * 1e3, 3),
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
        }
