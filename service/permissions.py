"""What each operation needs, over either transport: the one table. Who may is `service.guard`'s.

A route or a method that is in no row is not served: the app does not start, the call is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["OPERATIONS", "Need", "Operation", "need_of_method", "need_of_route"]


class Need(StrEnum):
    """What a client must show for an operation."""

    OPEN = "open"
    """Nothing, ever: probes have no keys."""

    READ = "read"
    """A key, once there are any for inference: it tells what is served."""

    INFER = "infer"
    """A key, once there are any for inference: it computes."""

    ADMIN = "admin"
    """The admin key, or to come from this machine while there is none: it changes or burdens the
    server, or tells what only that needs."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a client can ask for, under all its names.

    Attributes:
        what: it is, for people.
        need: what it needs.
        http: its routes, ``VERB /path/{template}`` each; GET is HEAD too.
        grpc: its methods; those of another service than the protocol's with that service's name.
            ``(settings)`` behind one is for messages with settings in them: the method reads
            where there are none, which is another operation.
    """

    what: str
    need: Need
    http: tuple[str, ...] = ()
    grpc: tuple[str, ...] = ()


def _model(verb: str, action: str = "") -> tuple[str, str]:
    """What is asked of a model, and of one of its versions."""
    model = f"{verb} /v2/models/{{model}}"
    return f"{model}{action}", f"{model}/versions/{{version}}{action}"


def _repository(action: str) -> tuple[str, str]:
    """What is asked of the repository, and of one that is named."""
    return f"POST /v2/repository{action}", f"POST /v2/repository/{{repository}}{action}"


def _region(verb: str, action: str) -> tuple[str, ...]:
    """What is asked of all shared memory of a kind, and of one region."""
    kinds = ("systemsharedmemory", "cudasharedmemory")
    return tuple(
        f"{verb} /v2/{kind}{region}/{action}"
        for kind in kinds
        for region in ("", "/region/{region}")
    )


_SETTINGS = " (settings)"

OPERATIONS: Final = (
    Operation(
        "whether the process answers",
        Need.OPEN,
        http=("GET /v2/health/live",),
        grpc=("ServerLive",),
    ),
    Operation(
        "whether the server is ready",
        Need.OPEN,
        http=("GET /v2/health/ready",),
        grpc=("ServerReady", "grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"),
    ),
    Operation(
        "whether a model is ready",
        Need.OPEN,
        http=_model("GET", "/ready"),
        grpc=("ModelReady",),
    ),
    Operation(
        "what the server is",
        Need.OPEN,
        http=("GET /v2", "GET /v2/"),
        grpc=("ServerMetadata",),
    ),
    Operation(
        "the description of this interface",
        Need.OPEN,
        http=(
            "GET /openapi.json",
            "GET /docs",
            "GET /docs/oauth2-redirect",
            "GET /static-offline-docs",
        ),
        grpc=("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",),
    ),
    Operation(
        "a model's metadata",
        Need.READ,
        http=_model("GET"),
        grpc=("ModelMetadata",),
    ),
    Operation(
        "a model's configuration",
        Need.READ,
        http=_model("GET", "/config"),
        grpc=("ModelConfig",),
    ),
    Operation(
        "statistics",
        Need.READ,
        http=("GET /v2/models/stats", *_model("GET", "/stats")),
        grpc=("ModelStatistics",),
    ),
    Operation(
        "the index of the models",
        Need.READ,
        http=_repository("/index"),
        grpc=("RepositoryIndex",),
    ),
    Operation(
        "what is known of a model's consistency", Need.READ, http=_model("GET", "/consistency")
    ),
    Operation("metrics, on the port of HTTP", Need.READ, http=("GET /metrics",)),
    Operation(
        "the trace settings",
        Need.READ,
        http=("GET /v2/trace/setting", "GET /v2/models/{model}/trace/setting"),
        grpc=("TraceSetting",),
    ),
    Operation("the log settings", Need.READ, http=("GET /v2/logging",), grpc=("LogSettings",)),
    Operation(
        "inference",
        Need.INFER,
        http=_model("POST", "/infer"),
        grpc=("ModelInfer", "ModelStreamInfer"),
    ),
    Operation(
        "inference in plain JSON",
        Need.INFER,
        http=(*_model("POST", "/generate"), *_model("POST", "/generate_stream")),
    ),
    Operation(
        "load a model",
        Need.ADMIN,
        http=_repository("/models/{model}/load"),
        grpc=("RepositoryModelLoad",),
    ),
    Operation(
        "unload a model",
        Need.ADMIN,
        http=_repository("/models/{model}/unload"),
        grpc=("RepositoryModelUnload",),
    ),
    Operation(
        "examine a model's consistency again", Need.ADMIN, http=_model("POST", "/consistency")
    ),
    Operation(
        "change the trace settings",
        Need.ADMIN,
        http=("POST /v2/trace/setting", "POST /v2/models/{model}/trace/setting"),
        grpc=(f"TraceSetting{_SETTINGS}",),
    ),
    Operation(
        "change the log settings",
        Need.ADMIN,
        http=("POST /v2/logging",),
        grpc=(f"LogSettings{_SETTINGS}",),
    ),
    Operation(
        "which shared memory is registered",
        Need.ADMIN,
        http=_region("GET", "status"),
        grpc=("SystemSharedMemoryStatus", "CudaSharedMemoryStatus"),
    ),
    Operation(
        "register shared memory",
        Need.ADMIN,
        http=(
            "POST /v2/systemsharedmemory/region/{region}/register",
            "POST /v2/cudasharedmemory/region/{region}/register",
        ),
        grpc=("SystemSharedMemoryRegister", "CudaSharedMemoryRegister"),
    ),
    Operation(
        "unregister shared memory",
        Need.ADMIN,
        http=_region("POST", "unregister"),
        grpc=("SystemSharedMemoryUnregister", "CudaSharedMemoryUnregister"),
    ),
)
"""Every operation of the service."""


def need_of_route(verb: str, path: str) -> Need | None:
    """What a route needs; ``None`` for one that is in no row.

    Args:
        verb: in capitals.
        path: its template, whatever its variable parts are called.
    """
    return _ROUTES.get((verb, _unnamed(path)))


def need_of_method(path: str, *, has_settings: bool = False) -> Need | None:
    """What a gRPC method needs; ``None`` for one that is in no row.

    Args:
        path: of the call, ``/package.Service/Method``.
        has_settings: whether the message sets something; no difference for most methods.
    """
    need = _METHODS.get(path)
    return _METHODS.get(f"{path}{_SETTINGS}", need) if has_settings else need


def _unnamed(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def _routes() -> Mapping[tuple[str, str], Need]:
    named = ((row.need, route.split(" ", 1)) for row in OPERATIONS for route in row.http)
    return {(verb, _unnamed(path)): need for need, (verb, path) in named}


def _methods() -> Mapping[str, Need]:
    return {
        f"/{name}" if "/" in name else f"/inference.GRPCInferenceService/{name}": row.need
        for row in OPERATIONS
        for name in row.grpc
    }


_ROUTES: Final = _routes()
_METHODS: Final = _methods()
