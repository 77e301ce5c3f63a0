"""The way of requests to raw routes: past what the framework does for each request otherwise.

A raw route takes the request as it is, so that there is nothing to resolve or to validate. What
stands around every route, the access log, the guard and the form of errors, stands here too.
"""

from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError
from service.guard import Guard
from service.http.access import AccessMiddleware
from service.http.errors import refusal
from service.http.guard import guarded
from service.http.raw_route import RawRoute
from service.metrics import Traffic
from service.tracing import Tracing

__all__ = ["Shortcut"]

_REMEMBERED: Final = 1024
"""Paths whose route is known without looking again: of whatever clients ask for."""


class Shortcut:
    """Answers the requests to the raw routes of an app, and hands on all others.

    Args:
        app: whose routes they are; it is complete.
        guard: before each of them.
        traffic: counts what is answered.
        tracing: traces what is answered.
    """

    def __init__(self, app: FastAPI, *, guard: Guard, traffic: Traffic, tracing: Tracing) -> None:
        routes = [route for route in app.routes if isinstance(route, RawRoute)]
        self._ways = [(route, guarded(_endpoint(route), route, guard)) for route in routes]
        self._found: dict[str, tuple[RawRoute, dict[str, str], ASGIApp]] = {}
        self._answer = AccessMiddleware(self._route, traffic=traffic, tracing=tracing)
        self._otherwise = app.build_middleware_stack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        answer = self._answer if self._takes(scope) else self._otherwise
        await answer(scope, receive, send)

    def _takes(self, scope: Scope) -> bool:
        """Whether a request is for a raw route; then the scope is as the router would leave it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        found = self._found.get(scope["path"]) or self._find(scope["path"])
        if found is None:
            return False
        scope["route"], scope["path_params"], scope["endpoint"] = found
        return True

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await scope["endpoint"](scope, receive, send)
        except (ServiceError, HTTPException) as err:
            response = refusal(Request(scope), err)
            await response(scope, receive, send)

    def _find(self, path: str) -> tuple[RawRoute, dict[str, str], ASGIApp] | None:
        for route, endpoint in self._ways:
            match = route.path_regex.match(path)
            if match is not None:
                if len(self._found) >= _REMEMBERED:
                    self._found.clear()
                self._found[path] = (route, match.groupdict(), endpoint)
                return self._found[path]
        return None


def _endpoint(route: RawRoute) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = await route.endpoint(Request(scope, receive, send), **scope["path_params"])
        await response(scope, receive, send)

    return answer
