"""Around every gRPC call: its id, its trace, its line in the log, its count. Decides nothing.

The requests of a stream are traced and logged each by itself; the stream has one line more, and is
counted as one call.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import structlog

from service.errors import BodyCorrupt, Overloaded
from service.grpc.reading import reader_of
from service.grpc.schema import SERVICE
from service.grpc.spans import (
    GrpcRequest,
    Metadata,
    error_type_of,
    is_probe,
    outcome_of,
    values,
)
from service.grpc.statuses import told
from service.intake import Intake
from service.metrics import Traffic
from service.request_log import log_request, request_id_of
from service.tracing import Tracing
from service.tracing.current import failed, in_trace

__all__ = ["Access", "Exchange", "Handler", "request_of_stream"]

_ID: Final = "x-request-id"
_UNKNOWN_METHOD: Final = "other"
_TRANSIT_S: Final = 0.05
"""A deadline passes where it was set first, and what then comes from there may be here before it
has passed here, too."""

_CANCELLED_WITHIN_S: Final = 0.05
"""A call that was cancelled before its message was there looks like one that has none, and gRPC
cancels what answers it only then."""

Handler = Any
"""``grpc.RpcMethodHandler``, whose type says nothing of what is in it."""

_Streaming = Callable[[AsyncIterator[Any], Any], AsyncIterator[Any]]
"""Of the messages of a call and its context, the replies."""


class Exchange:
    """One request and its reply, or a stream of them, as the log tells of it.

    Args:
        request: the message, where it has been read.
        bytes_in: of what came.

    Attributes:
        request: the same.
        code: the name of its status.
        bytes_in: of what came.
        requests: that came in a stream.
    """

    def __init__(self, request: Any = None, *, bytes_in: int = 0) -> None:
        self.request = request
        self.code = grpc.StatusCode.UNKNOWN.name
        self.bytes_in = bytes_in
        self.requests: int | None = None
        self._error: str | None = None
        self._bytes_out = 0
        self._began = time.perf_counter()

    def answered(self, size: int) -> None:
        """A reply of so many bytes was given, or one more of a stream."""
        self.code = grpc.StatusCode.OK.name
        self._bytes_out += size

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
        model, version = _model(self.request)
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


@dataclass(frozen=True, slots=True)
class _Call:
    """What the requests of one call have in common: a stream has many."""

    method: str
    metadata: Metadata
    request_id: str
    host: str
    tracing: Tracing

    @contextmanager
    def exchange(self, exchange: Exchange, *, event: str = "request") -> Iterator[Exchange]:
        """Trace and log one of them."""
        trace = None
        if self.tracing.is_on and not is_probe(self.method):
            incoming = GrpcRequest(
                method=self.method,
                metadata=self.metadata,
                request_id=self.request_id,
                host=self.host,
            )
            trace = self.tracing.open(incoming)
        with in_trace(trace):
            try:
                yield exchange
            except asyncio.CancelledError:
                exchange.cancelled()
                raise
            finally:
                if trace is not None:
                    trace.end(
                        name=self.method,
                        attributes=outcome_of(exchange.code),
                        error_type=error_type_of(exchange.code),
                    )
                log_request(event, method=_short(self.method), **exchange.summary())


_current: ContextVar[_Call | None] = ContextVar("grpc_call", default=None)


@contextmanager
def request_of_stream(request: Any) -> Iterator[Exchange]:
    """One request of the stream that is being answered; the code is to be told to what this gives.

    Args:
        request: the message.
    """
    call, exchange = _current.get(), Exchange(request, bytes_in=request.ByteSize())
    if call is None:  # nobody listens: the methods are used without a server
        yield exchange
        return
    with call.exchange(exchange, event="stream request"):
        yield exchange


class _Held:
    """The messages of a stream that were not answered; each reply answers the first of them.

    Args:
        intake: that they are taken from.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._sizes: deque[int] = deque()
        self._has_given = asyncio.Event()

    async def take(self, size: int) -> bool:
        """Whether there is room for one more, once there can be: others of this stream go first."""
        while not self._intake.take(size, held=0):
            if not self._sizes:
                return False
            self._has_given.clear()
            await self._has_given.wait()
        self._sizes.append(size)
        return True

    def give(self) -> None:
        """One was answered, if there was one."""
        if self._sizes:
            self._intake.give(self._sizes.popleft())
            self._has_given.set()

    def give_all(self) -> None:
        """None is answered any more."""
        self._intake.give(sum(self._sizes))
        self._sizes.clear()


class Access:
    """Gives each call an id, and logs one line about it when it is over.

    What it makes of a handler takes bytes and gives bytes: those that are no message of the method
    are refused. Each call has a context of its own, so what is bound here ends with it.

    Args:
        host: that the server listens on.
        traffic: counts what is answered.
        tracing: traces what is answered.
        intake: how much of messages may be held that were not answered.
    """

    def __init__(self, *, host: str, traffic: Traffic, tracing: Tracing, intake: Intake) -> None:
        self._host = host
        self._intake = intake
        self._traffic = traffic
        self._tracing = tracing

    def unknown(self, method: str) -> None:
        """A method was called that is none."""
        code = grpc.StatusCode.UNIMPLEMENTED.name
        self._traffic.count_grpc(_UNKNOWN_METHOD, code)
        log_request(method=method, status=code)

    def unary(self, method: str, handler: Handler) -> Handler:
        """The handler of a method that takes one message and gives one, observed."""
        read = reader_of(handler, method=_short(method))
        behave, write = handler.unary_unary, handler.response_serializer

        async def call(_: AsyncIterator[bytes], context: Any) -> bytes:
            content = await context.read()
            size = len(content)
            exchange = Exchange(bytes_in=size)
            with (
                self._begin(method, context).exchange(exchange),
                self._ending(method, context, exchange),
            ):
                try:
                    if content is grpc.aio.EOF:
                        await _refuse_nothing(method)
                    if not self._intake.take(size, held=0):
                        raise self._full()
                except (BodyCorrupt, Overloaded) as err:
                    failed(err)
                    await context.abort(*told(err))
                try:
                    exchange.request = request = read(content)
                    reply: bytes = write(await behave(request, context))
                except BodyCorrupt as err:
                    failed(err)
                    await context.abort(*told(err))
                finally:
                    self._intake.give(size)
                exchange.answered(len(reply))
                return reply

        # gRPC's handlers of one message never answer a call that ends without any
        return grpc.stream_unary_rpc_method_handler(call)

    def replies(self, method: str, handler: Handler) -> Handler:
        """The handler of a method that takes one message and gives messages, observed."""

        async def behave(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async for request in requests:
                async for reply in handler.unary_stream(request, context):
                    yield reply
                return
            await _refuse_nothing(method)

        return self._stream(method, handler, behave)

    def stream(self, method: str, handler: Handler) -> Handler:
        """The handler of a method that takes messages and gives messages, observed."""
        return self._stream(method, handler, handler.stream_stream)

    def _stream(self, method: str, handler: Handler, behave: _Streaming) -> Handler:
        read = reader_of(handler, method=_short(method))
        write = handler.response_serializer

        async def messages(
            contents: AsyncIterator[bytes], exchange: Exchange, held: _Held
        ) -> AsyncIterator[Any]:
            exchange.requests = 0
            async for content in contents:
                if not await held.take(len(content)):
                    raise self._full()
                exchange.requests += 1
                exchange.bytes_in += len(content)
                yield read(content)

        async def call(contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            _current.set(self._begin(method, context))
            exchange, held = Exchange(), _Held(self._intake)
            try:
                with self._ending(method, context, exchange):
                    try:
                        async for reply in behave(messages(contents, exchange, held), context):
                            content = write(reply)
                            exchange.answered(len(content))
                            yield content
                            held.give()
                    except BodyCorrupt as err:
                        await context.abort(*told(err))
                    exchange.code = grpc.StatusCode.OK.name
            finally:
                held.give_all()
                log_request(method=_short(method), **exchange.summary())

        return grpc.stream_stream_rpc_method_handler(call)

    def _full(self) -> Overloaded:
        return Overloaded(
            f"the messages of all requests that are being answered have {self._intake.most} bytes,"
            " the most this server holds; try again in 1 s"
        )

    def _begin(self, method: str, context: Any) -> _Call:
        metadata = context.invocation_metadata() or ()
        request_id = request_id_of(next(iter(values(metadata, _ID)), None))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        context.set_trailing_metadata(((_ID, request_id),))
        return _Call(method, metadata, request_id, self._host, self._tracing)

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


async def _refuse_nothing(method: str) -> NoReturn:
    await asyncio.sleep(_CANCELLED_WITHIN_S)
    raise BodyCorrupt(f"the call ended without a message; {_short(method)} takes one")


def _short(method: str) -> str:
    """The name of a method; with its service, where that is not the protocol's."""
    return method.removeprefix(f"{SERVICE.full_name}/")


def _model(request: Any) -> tuple[str | None, str | None]:
    """The name and version of the model that a request is for, as far as it says."""
    name = getattr(request, "model_name", None)
    if name is not None:
        return name or None, getattr(request, "model_version", None) or None
    if request is not None and request.DESCRIPTOR.name.startswith("Model"):
        return request.name or None, request.version or None
    return None, None
