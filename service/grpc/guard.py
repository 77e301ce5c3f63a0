"""The guard before every gRPC method. Decides nothing: what is needed and who may, others do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from service.errors import KeyRequired, OperationForbidden
from service.grpc.statuses import told
from service.guard import PASSED_ON_BY, Caller, Guard
from service.permissions import Need, need_of_method

__all__ = ["GuardInterceptor"]


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls through that the guard lets through; a method that is in no row is not there.

    A call is refused before its message is read, but where what it needs is in the message.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a call, or one that refuses it; none is UNIMPLEMENTED."""
        path = handler_call_details.method
        need = need_of_method(path)
        if need is None:
            return None
        refusal = self._refusal(need, handler_call_details)
        if refusal is not None:
            return _refusing(refusal)
        handler = await continuation(handler_call_details)
        to_change = need_of_method(path, has_settings=True)
        if handler is None or to_change is None or to_change is need:
            return handler
        return _refusing_settings(handler, self._refusal(to_change, handler_call_details))

    def _refusal(
        self, need: Need, details: grpc.HandlerCallDetails
    ) -> KeyRequired | OperationForbidden | None:
        if self._guard.lets_everybody(need):
            return None
        try:
            self._guard.check(need, _caller(details))
        except (KeyRequired, OperationForbidden) as err:
            return err
        return None


def _refusing(refusal: KeyRequired | OperationForbidden) -> "grpc.RpcMethodHandler[Any, Any]":
    """A handler for any method: one that would read streams reads nothing."""

    async def refuse(_: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.abort(*told(refusal))
        yield b""  # never comes to it, and makes this what gRPC wants

    return grpc.stream_stream_rpc_method_handler(refuse)


def _refusing_settings(
    handler: Any, refusal: KeyRequired | OperationForbidden | None
) -> "grpc.RpcMethodHandler[Any, Any]":
    """A handler that refuses messages with settings in them, where there is a reason to."""

    async def call(request: Any, context: Any) -> Any:
        if refusal is not None and request.settings:
            await context.abort(*told(refusal))
        return await handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _caller(details: grpc.HandlerCallDetails) -> Caller:
    pairs = details.invocation_metadata or ()
    return Caller(
        authorizations=[str(value) for name, value in pairs if name == "authorization"],
        origins=[str(value) for name, value in pairs if name == "origin"],
        was_passed_on=any(name in PASSED_ON_BY for name, _ in pairs),
    )
