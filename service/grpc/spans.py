"""What a trace tells of a gRPC call, by OpenTelemetry's conventions. Makes no spans.

Source: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/, server span.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.tracing import Attributes, trace_headers

__all__ = ["GrpcRequest", "error_type_of", "is_probe", "outcome_of", "values"]

Metadata = Sequence[tuple[str, str | bytes]]
"""As gRPC gives that of a call; the values of names that end in ``-bin`` are bytes."""

_PROBES: Final = frozenset(
    {
        "inference.GRPCInferenceService/ServerLive",
        "inference.GRPCInferenceService/ServerReady",
        "inference.GRPCInferenceService/ModelReady",
    }
)
_SERVICE: Final = "inference.GRPCInferenceService/"
_ERRORS: Final = frozenset(
    {"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"}
)
"""The statuses that are the server's fault, as the conventions have it."""


def is_probe(method: str) -> bool:
    """Whether a method is asked again and again by machines; no trace is made of that."""
    return method in _PROBES or not method.startswith(_SERVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcRequest:
    """A call that has just come, or a request of a stream; see `service.tracing.Incoming`.

    Attributes:
        method: with its service, ``package.Service/Method``.
        metadata: of the call.
        request_id: of the call.
        host: that the server listens on.
    """

    method: str
    metadata: Metadata
    request_id: str
    host: str

    @property
    def name(self) -> str:
        """Of its span."""
        return self.method

    def attributes(self) -> Attributes:
        """Of its span."""
        return {
            "rpc.system.name": "grpc",
            "rpc.method": self.method,
            "server.address": self.host,
            "normserve.request.id": self.request_id,
        }

    def trace_headers(self) -> Mapping[str, Sequence[str]]:
        """Those of W3C Trace Context."""
        return trace_headers(
            values(self.metadata, "traceparent"), values(self.metadata, "tracestate")
        )


def values(metadata: Metadata, name: str) -> list[str]:
    """The values of a name in the metadata."""
    return [value for key, value in metadata if key == name and isinstance(value, str)]


def outcome_of(code: str) -> Attributes:
    """What is known at the end: the name of the status."""
    return {"rpc.response.status_code": code}


def error_type_of(code: str) -> str | None:
    """The class of error that a status is, where it is the server's fault."""
    return code if code in _ERRORS else None
