"""What a trace tells of a request over HTTP, by OpenTelemetry's conventions. Makes no spans.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/, server span. What a client
sends in a query or in headers is not told, but for the request's id.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from service.request_log import bounded
from service.tracing import Attributes, trace_headers

__all__ = ["HttpRequest", "is_probe", "outcome_of", "span_name"]

_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)


def is_probe(path: str) -> bool:
    """Whether a path is asked again and again by machines; no trace is made of that."""
    return path.startswith("/v2/health/") or path.endswith("/ready") or path == "/metrics"


class HttpRequest:
    """A request that has just come; see `service.tracing.Incoming`.

    Args:
        scope: of it.
        request_id: of it.
    """

    def __init__(self, scope: Scope, request_id: str) -> None:
        self._scope = scope
        self._request_id = request_id

    @property
    def name(self) -> str:
        """Of its span, before any route has taken it."""
        return span_name(self._scope, None)

    def attributes(self) -> Attributes:
        """Of its span."""
        scope = self._scope
        attributes: dict[str, str | int] = {
            "http.request.method": _method(scope) or "_OTHER",
            "url.path": bounded(scope["path"]),
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
            "normserve.request.id": self._request_id,
        }
        address, port = scope.get("server") or (None, None)
        if address is not None:
            attributes["server.address"] = address
        if port is not None:
            attributes["server.port"] = port
        return attributes

    def trace_headers(self) -> Mapping[str, Sequence[str]]:
        """Those of W3C Trace Context."""
        headers = Headers(scope=self._scope)
        return trace_headers(headers.getlist("traceparent"), headers.getlist("tracestate"))


def span_name(scope: Scope, route: str | None) -> str:
    """The span's name: the method, and the template of the route if one has taken the request."""
    method = _method(scope) or "HTTP"
    return method if route is None else f"{method} {route}"


def outcome_of(route: str | None, status: int) -> Attributes:
    """What is known at the end."""
    outcome: dict[str, str | int] = {"http.response.status_code": status}
    return outcome if route is None else {**outcome, "http.route": route}


def _method(scope: Scope) -> str | None:
    """The method, where HTTP has it."""
    return scope["method"] if scope["method"] in _METHODS else None
