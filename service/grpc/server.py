"""The gRPC server: binds, registers the methods, health and reflection, stops. Computes nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc
import structlog
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.dataplane import DataPlane
from service.errors import AddressUnavailable, ServiceError
from service.grpc.access import Access
from service.grpc.calls import CallInterceptor
from service.grpc.methods import Methods
from service.grpc.schema import SERVICE
from service.grpc.statuses import told
from service.intake import Intake
from service.lifecycle import Service
from service.settings import Settings
from service.tls import Tls
from service.tracing.current import failed

__all__ = ["GrpcServer"]

_log = structlog.stdlib.get_logger(__name__)

_FRAMING_BYTES = 1 << 20
"""What names, shapes and parameters may take beside the tensors of a request."""


class GrpcServer:
    """The protocol over gRPC, as an asynchronous context in which it answers.

    Args:
        service: what answers.
        settings: of the service.
        tls: what it is encrypted with, if it is.

    Attributes:
        port: that it listens on, once it was entered.
    """

    def __init__(self, service: Service, settings: Settings, tls: Tls | None = None) -> None:
        self.port = settings.grpc_port
        self._service = service
        self._host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._grace_s = settings.shutdown_grace_s
        self._stopping = asyncio.Event()
        self._credentials = None if tls is None else _credentials(tls)
        access = Access(
            host=settings.host,
            traffic=service.traffic,
            tracing=service.tracing,
            intake=Intake(most=settings.max_receiving_bytes),
        )
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(service.guard, access)],
            options=[
                ("grpc.max_receive_message_length", _limit(settings.max_request_bytes)),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a port that is in use is an error, not shared
            ],
        )

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            AddressUnavailable: the address cannot be bound.
        """
        plane = self._service.plane
        methods = Methods(plane, self._service.control)
        self._server.add_generic_rpc_handlers((_handlers(methods),))
        health_pb2_grpc.add_HealthServicer_to_server(_Health(plane, self._stopping), self._server)
        names = (SERVICE.full_name, _HEALTH_SERVICE, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=_describing_pool())
        try:
            self.port = self._listen(f"{self._host}:{self.port}")
        except RuntimeError as err:
            raise AddressUnavailable(
                f"cannot listen on {self._host}:{self.port} for gRPC; choose another host or port"
            ) from err
        await self._server.start()
        return self

    def _listen(self, address: str) -> int:
        if self._credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._credentials)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Take no new calls; those in flight may finish for a while."""
        self._stopping.set()
        await self._server.stop(self._grace_s)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=None if tls.client_ca is None else tls.client_ca.read_bytes(),
        require_client_auth=tls.client_ca is not None,
    )


def _limit(max_request_bytes: int) -> int:
    """The limit of a message; none (-1) where it is beyond what gRPC can express."""
    limit = max_request_bytes + _FRAMING_BYTES
    return limit if limit < 2**31 else -1


_POLL_S = 1.0
"""How often it is looked whether those that watch are to be told something else."""

_HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


_States = health_pb2.HealthCheckResponse


class _Health(health_pb2_grpc.HealthServicer):
    """``grpc.health.v1``: the server as a whole, or the protocol's service, which is the same.

    Source: https://github.com/grpc/grpc-proto, grpc/health/v1/health.proto.
    """

    def __init__(self, plane: DataPlane, stopping: asyncio.Event) -> None:
        self._plane = plane
        self._stopping = stopping

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        """Whether it is ready."""
        status = self._status(request.service)
        if status == _States.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no service of that name here")
        return _States(status=status)

    async def Watch(self, request: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802  # gRPC's name
        """Whether it is, and again whenever that changes, until the client or the server goes."""
        last = None
        while True:
            is_over = self._stopping.is_set()
            status = self._status(request.service)
            if status != last:
                yield _States(status=status)
            if is_over:
                return
            last = status
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _POLL_S)

    def _status(self, service: str) -> Any:
        if service not in ("", SERVICE.full_name):
            return _States.SERVICE_UNKNOWN
        is_ready = not self._stopping.is_set() and self._plane.readiness().ready
        return _States.SERVING if is_ready else _States.NOT_SERVING


def _handlers(methods: Methods) -> grpc.GenericRpcHandler:
    offered = {}
    for method in SERVICE.methods:
        function = getattr(methods, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", method.name).lower(), None)
        if function is not None:
            offered[method.name] = _handler(method, function)
    return grpc.method_handlers_generic_handler(SERVICE.full_name, offered)


def _handler(
    method: MethodDescriptor, function: Callable[[Any], Any]
) -> "grpc.RpcMethodHandler[Any, Any]":
    coders = {
        "request_deserializer": message_factory.GetMessageClass(method.input_type).FromString,
        "response_serializer": lambda message: message.SerializeToString(),
    }
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(_streaming(function), **coders)
    return grpc.unary_unary_rpc_method_handler(_unary(function), **coders)


def _unary(function: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await function(request)
        except ServiceError as err:
            await _abort(context, err)
        # The edge of the process: what nobody foresaw is logged, and the client learns no details.
        except Exception as err:  # noqa: BLE001
            await _abort(context, err)

    return call


def _streaming(
    function: Callable[[AsyncIterator[Any]], AsyncIterator[Any]],
) -> Callable[[AsyncIterator[Any], Any], AsyncIterator[Any]]:
    async def call(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            async for reply in function(requests):
                yield reply
        # The edge of the process, as above.
        except Exception as err:  # noqa: BLE001
            await _abort(context, err)

    return call


async def _abort(context: Any, error: Exception) -> None:
    failed(error)
    if isinstance(error, ServiceError):
        status, message = told(error)
    else:
        status, message = grpc.StatusCode.INTERNAL, "internal error"
    if status is grpc.StatusCode.INTERNAL:
        _log.error("internal error", exc_info=error)
    await context.abort(status, message)


def _describing_pool() -> descriptor_pool.DescriptorPool:
    """What reflection tells of: the protocol, and the two standard services beside it."""
    pool = descriptor_pool.DescriptorPool()
    # protobuf's two kinds of descriptors have no common type
    files: list[Any] = [*SERVICE.file.dependencies, SERVICE.file]
    files += [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    for file in files:
        pool.AddSerializedFile(file.serialized_pb)
    return pool
