"""Bytes of a call to its message. Knows no methods.

gRPC's own way answers bytes that are no such message UNKNOWN, with the names of Python's classes.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import BodyCorrupt
from service.grpc.schema import SERVICE
from service.grpc.statuses import told
from service.metrics import Traffic
from service.request_log import log_request

__all__ = ["ReadingInterceptor"]

Reader = Callable[[bytes], Any]


class ReadingInterceptor(grpc.aio.ServerInterceptor):
    """Reads the messages of all handlers that want them read; the others get the bytes.

    To be the outermost: a call whose message cannot be read goes no further, and is logged and
    counted here.

    Args:
        traffic: counts what is answered.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a call, which takes bytes; none is UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        method = handler_call_details.method.removeprefix("/").removeprefix(f"{SERVICE.full_name}/")
        reader = _reader(handler.request_deserializer, method=method)
        serializer = {"response_serializer": handler.response_serializer}
        if inspect.iscoroutinefunction(handler.unary_unary):
            unary = self._unary(handler.unary_unary, reader, method=method)
            return grpc.unary_unary_rpc_method_handler(unary, **serializer)
        if inspect.isasyncgenfunction(handler.stream_stream):
            stream = _stream(handler.stream_stream, reader)
            return grpc.stream_stream_rpc_method_handler(stream, **serializer)
        return handler

    def _unary(
        self, behavior: Callable[[Any, Any], Awaitable[Any]], reader: Reader, *, method: str
    ) -> Callable[[bytes, Any], Awaitable[Any]]:
        async def call(content: bytes, context: Any) -> Any:
            try:
                message = reader(content)
            except BodyCorrupt as err:
                status, details = told(err)
                self._traffic.count_grpc(method, status.name)
                log_request(method=method, status=status.name, error=details, bytes_in=len(content))
                await context.abort(status, details)
            return await behavior(message, context)

        return call


def _stream(
    behavior: Callable[[Any, Any], AsyncIterator[Any]], reader: Reader
) -> Callable[[AsyncIterator[bytes], Any], AsyncIterator[Any]]:
    async def messages(contents: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for content in contents:
            yield reader(content)

    async def call(contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        async for reply in behavior(messages(contents), context):
            yield reply

    return call


def _reader(deserialize: Reader, *, method: str) -> Reader:
    def read(content: bytes) -> Any:
        try:
            return deserialize(content)
        except DecodeError as err:
            raise BodyCorrupt(
                f"the message has {len(content)} bytes that are not what {method} takes: they are"
                " cut, from another protocol, or have text that is not UTF-8"
            ) from err

    return read
