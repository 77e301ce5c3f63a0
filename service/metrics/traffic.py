"""Requests by route and status, counted by the transports. Knows no request.

Counted by the event loop's thread alone, so without locks.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Traffic"]

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Traffic(Collector):
    """How often each route and each method was asked, by what it answered."""

    def __init__(self) -> None:
        self._http: Counter[tuple[str, str, str]] = Counter()
        self._grpc: Counter[tuple[str, str]] = Counter()

    def count_http(self, method: str, route: str | None, status: int) -> None:
        """A request over HTTP was answered.

        Args:
            method: as the client wrote it; one that HTTP does not know is counted as ``other``.
            route: the template of its route, never a path; None where no route has it.
            status: of the reply.
        """
        known = method if method in _METHODS else "other"
        self._http[known, route or "none", str(status)] += 1

    def count_grpc(self, method: str, code: str) -> None:
        """A call over gRPC ended.

        Args:
            method: one of the service's.
            code: the name of its status.
        """
        self._grpc[method, code] += 1

    def collect(self) -> Iterable[Metric]:
        """Both counts."""
        http = CounterMetricFamily(
            "normserve_http_requests",
            "Requests over HTTP, by the template of their route.",
            labels=("method", "route", "status"),
        )
        for labels, count in dict(self._http).items():
            http.add_metric(labels, count)
        grpc = CounterMetricFamily(
            "normserve_grpc_requests",
            "Calls over gRPC; a stream is one.",
            labels=("method", "code"),
        )
        for call, count in dict(self._grpc).items():
            grpc.add_metric(call, count)
        return http, grpc
