"""What every gRPC call passes before its method. What that needs and who may, others decide.

One interceptor for all, which knows the handlers that it made: gRPC asks for the handler of each
call anew, and several interceptors that each made one took a fifth of a small inference.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from service.errors import KeyRequired, OperationForbidden
from service.grpc.access import Access, Handler
from service.grpc.statuses import told
from service.guard import PASSED_ON_BY, Caller, Guard
from service.permissions import Need, need_of_method

__all__ = ["CallInterceptor"]

Refusal = KeyRequired | OperationForbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """A method that is there.

    Attributes:
        path: of its calls.
        need: what they need.
        to_change: what they need whose message has settings in it, where that is something else.
        handler: as the method gives it.
        observed: the same, with what happens around it.
    """

    path: str
    need: Need
    to_change: Need | None
    handler: Handler
    observed: Handler


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls through that the guard lets through; a method that is in no row is not there.

    A call is refused before its message is received, but where what it needs is in the message.

    Args:
        guard: before the methods.
        access: around them.
    """

    def __init__(self, guard: Guard, access: Access) -> None:
        self._guard = guard
        self._access = access
        self._methods: dict[str, _Method] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of a call, or one that refuses it; none is UNIMPLEMENTED."""
        path = handler_call_details.method
        method = self._methods.get(path)
        if method is None:
            method = self._method(path, await continuation(handler_call_details))
            if method is None:
                self._access.unknown(path.removeprefix("/"))
                return None
            self._methods[path] = method
        refusal = self._refusal(method.need, handler_call_details)
        if refusal is not None:
            return self._observed(path, _refusing(refusal))
        if method.to_change is None:
            return method.observed
        refusal = self._refusal(method.to_change, handler_call_details)
        if refusal is None:
            return method.observed
        return self._observed(path, _refusing_settings(method.handler, refusal))

    def _method(self, path: str, handler: Handler) -> _Method | None:
        need, to_change = need_of_method(path), need_of_method(path, has_settings=True)
        if need is None or handler is None:
            return None
        return _Method(
            path=path,
            need=need,
            to_change=None if to_change is need else to_change,
            handler=handler,
            observed=self._observed(path, handler),
        )

    def _observed(self, path: str, handler: Handler) -> Handler:
        name = path.removeprefix("/")
        if inspect.iscoroutinefunction(handler.unary_unary):
            return self._access.unary(name, handler)
        if inspect.isasyncgenfunction(handler.stream_stream):
            return self._access.stream(name, handler)
        if inspect.isasyncgenfunction(handler.unary_stream):
            return self._access.replies(name, handler)
        return handler

    def _refusal(self, need: Need, details: grpc.HandlerCallDetails) -> Refusal | None:
        if self._guard.lets_everybody(need):
            return None
        try:
            self._guard.check(need, _caller(details))
        except (KeyRequired, OperationForbidden) as err:
            return err
        return None


def _refusing(refusal: Refusal) -> Handler:
    """A handler for any method: one that would read streams reads nothing."""

    async def refuse(_: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.abort(*told(refusal))
        yield b""  # never comes to it, and makes this what gRPC wants

    return grpc.stream_stream_rpc_method_handler(refuse)


def _refusing_settings(handler: Handler, refusal: Refusal) -> Handler:
    """A handler that refuses messages with settings in them."""

    async def call(request: Any, context: Any) -> Any:
        if request.settings:
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
