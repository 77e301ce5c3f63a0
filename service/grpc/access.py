"""Around every gRPC call: its id, its trace, its line in the log, its count. Decides nothing.

The requests of a stream are traced and logged each by itself; the stream has one line more, and is
counted as one call.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog

from service.grpc.schema import SERVICE
from service.grpc.spans import GrpcRequest, error_type_of, is_probe, outcome_of, values
from service.metrics import Traffic
from service.request_log import log_request, request_id_of
from service.tracing import Tracing
from service.tracing.current import in_trace

__all__ = ["AccessInterceptor", "Exchange", "request_of_stream"]

_ID: Final = "x-request-id"
_UNKNOWN_METHOD: Final = "other"
_TRANSIT_S: Final = 0.05
"""A deadline passes where it was set first, and what then comes from there may be here before it
has passed here, too."""

Handler = Any  # grpc.RpcMethodHandler, whose type says nothing of what is in it


class Exchange:
    """One request and its reply, or a stream of them, as the log tells of it.

    Args:
        request: the message; left out for a stream.

    Attributes:
        code: the name of its status.
        bytes_in: of what came.
        requests: that came in a stream.
    """

    def __init__(self, request: Any = None) -> None:
        self.code = grpc.StatusCode.UNKNOWN.name
        self.bytes_in = 0 if request is None else _size(request)
        self.requests: int | None = None
        self._error: str | None = None
        self._bytes_out = 0
        self._request = request
        self._began = time.perf_counter()

    def answered(self, reply: Any) -> None:
        """This reply was given, or one more of a stream."""
        self.code = grpc.StatusCode.OK.name
        self._bytes_out += _size(reply)

    def refused(self, code: str, error: str) -> None:
        """It was not answered, and the client was told this."""
        self.code = code
        self._error = error or None

    def cancelled(self, *, is_late: bool = False) -> None:
        """Nobody waits for the answer any more, because it is too late or for reasons of theirs."""
        if self.code == grpc.StatusCode.UNKNOWN.name:
            code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
            self.code = code.name

    def summary(self) -> dict[str, Any]:
        """The fields of its line."""
        model, version = _model(self._request)
        return {
            "model": model,
            "version": version,
            "error": self._error,
            "status": self.code,
            "duration_ms": round((time.perf_counter() - self._began) * 1e3, 3),
            "requests": self.requests,
            "bytes_in": self.bytes_in,
            "bytes_out": self._bytes_out,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What the requests of one call have in common: a stream has many."""

    incoming: GrpcRequest
    tracing: Tracing

    @contextmanager
    def exchange(self, request: Any, *, event: str = "request") -> Iterator[Exchange]:
        """Trace and log one of them."""
        trace, exchange = None, Exchange(request)
        method = self.incoming.method
        if not is_probe(method):
            trace = self.tracing.open(self.incoming)
        with in_trace(trace):
            try:
                yield exchange
            except asyncio.CancelledError:
                exchange.cancelled()
                raise
            finally:
                if trace is not None:
                    trace.end(
                        name=method,
                        attributes=outcome_of(exchange.code),
                        error_type=error_type_of(exchange.code),
                    )
                log_request(event, method=_short(method), **exchange.summary())


_current: ContextVar[_Call | None] = ContextVar("grpc_call", default=None)


@contextmanager
def request_of_stream(request: Any) -> Iterator[Exchange]:
    """One request of the stream that is being answered; the code is to be told to what this gives.

    Args:
        request: the message.
    """
    call = _current.get()
    if call is None:  # nobody listens: the methods are used without a server
        yield Exchange(request)
        return
    with call.exchange(request, event="stream request") as exchange:
        yield exchange


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call an id, and logs one line about it when it is over.

    Each call has a context of its own, so what is bound here ends with it.

    Args:
        host: that the server listens on.
        traffic: counts what is answered.
        tracing: traces what is answered.
    """

    def __init__(self, *, host: str, traffic: Traffic, tracing: Tracing) -> None:
        self._host = host
        self._traffic = traffic
        self._tracing = tracing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of a call, observed; none is UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method.removeprefix("/")
        if handler is None:
            code = grpc.StatusCode.UNIMPLEMENTED.name
            self._traffic.count_grpc(_UNKNOWN_METHOD, code)
            log_request(method=method, status=code)
            return None
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if inspect.iscoroutinefunction(handler.unary_unary):
            unary = self._unary(method, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(unary, **coders)
        if inspect.isasyncgenfunction(handler.stream_stream):
            stream = self._stream(method, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(stream, **coders)
        return handler

    def _unary(
        self, method: str, behavior: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            with self._begin(method, context).exchange(request) as exchange:
                with self._ending(method, context, exchange):
                    reply = await behavior(request, context)
                    exchange.answered(reply)
                return reply

        return call

    def _stream(
        self, method: str, behavior: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def call(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            _current.set(self._begin(method, context))
            exchange = Exchange()
            try:
                with self._ending(method, context, exchange):
                    async for reply in behavior(_counted(requests, exchange), context):
                        exchange.answered(reply)
                        yield reply
                    exchange.code = grpc.StatusCode.OK.name
            finally:
                log_request(method=_short(method), **exchange.summary())

        return call

    def _begin(self, method: str, context: Any) -> _Call:
        metadata = context.invocation_metadata() or ()
        request_id = request_id_of(next(iter(values(metadata, _ID)), None))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        context.set_trailing_metadata(((_ID, request_id),))
        incoming = GrpcRequest(
            method=method, metadata=metadata, request_id=request_id, host=self._host
        )
        return _Call(incoming=incoming, tracing=self._tracing)

    @contextmanager
    def _ending(self, method: str, context: Any, exchange: Exchange) -> Iterator[None]:
        """Tells how a call ended, which gRPC knows where it was aborted."""
        try:
            yield
        except asyncio.CancelledError:
            remaining_s = context.time_remaining()
            exchange.cancelled(is_late=remaining_s is not None and remaining_s <= _TRANSIT_S)
            raise
        finally:
            if context.code() is not None:
                exchange.refused(context.code().name, context.details())
            self._traffic.count_grpc(_short(method), exchange.code)


async def _counted(requests: AsyncIterator[Any], exchange: Exchange) -> AsyncIterator[Any]:
    exchange.requests = 0
    async for request in requests:
        exchange.requests += 1
        exchange.bytes_in += _size(request)
        yield request


def _short(method: str) -> str:
    """The name of a method; with its service, where that is not the protocol's."""
    return method.removeprefix(f"{SERVICE.full_name}/")


def _size(message: Any) -> int:
    """Bytes of a message, which is bytes itself where no handler has read it."""
    return len(message) if isinstance(message, bytes) else message.ByteSize()


def _model(request: Any) -> tuple[str | None, str | None]:
    """The name and version of the model that a request is for, as far as it says."""
    name = getattr(request, "model_name", None)
    if name is not None:
        return name or None, getattr(request, "model_version", None) or None
    if request is not None and request.DESCRIPTOR.name.startswith("Model"):
        return request.name or None, request.version or None
    return None, None
