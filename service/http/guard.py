"""The guard before every route. Decides nothing: what is needed and who may, others do.

It stands behind the routing, so that there is no second reading of paths that could differ from the
one that finds the endpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.guard import PASSED_ON_BY, Caller, Guard
from service.permissions import Need, need_of_route

__all__ = ["caller_of", "guard_routes", "guarded", "require_guards"]


def guard_routes(app: FastAPI, guard: Guard) -> None:
    """Put the guard before every route that an app has by now.

    Routers that were included become routes of the app itself: that is what they are, as long as
    they are included as they are, without a prefix.

    Raises:
        LookupError: a route is not in the table of permissions, or is of a kind that cannot be.
    """
    routes = list(_routes(app))
    for route in routes:
        route.app = guarded(route.app, route, guard)
    app.router.routes[:] = routes


def guarded(app: ASGIApp, route: Route | Mount, guard: Guard) -> ASGIApp:
    """What answers for a route, behind the guard.

    Raises:
        LookupError: the route is not in the table of permissions.
    """
    return _Guarded(app, guard, {verb: _need(verb, route) for verb in _verbs(route)})


def caller_of(raw_headers: Sequence[tuple[bytes, bytes]]) -> Caller:
    """What a request shows of its client; the names of its headers are in lower case."""
    headers = Headers(raw=list(raw_headers))
    return Caller(
        authorizations=headers.getlist("authorization"),
        hosts=headers.getlist("host"),
        origins=headers.getlist("origin"),
        was_passed_on=not PASSED_ON_BY.isdisjoint(headers),
    )


def require_guards(app: FastAPI) -> None:
    """Make sure that no route was added since.

    Raises:
        LookupError: one was.
    """
    unguarded = [route.path for route in _routes(app) if not isinstance(route.app, _Guarded)]
    if unguarded:
        raise LookupError(f"routes were added behind the guard's back: {', '.join(unguarded)}")


class _Guarded:
    """An endpoint behind the guard."""

    def __init__(self, app: ASGIApp, guard: Guard, needs: Mapping[str, Need]) -> None:
        self._app = app
        self._guard = guard
        self._needs = needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        need = self._needs.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if need is None:  # a route refuses other verbs itself; what is mounted is asked here
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        if not self._guard.lets_everybody(need):
            self._guard.check(need, caller_of(scope["headers"]))
        await self._app(scope, receive, send)


def _routes(app: FastAPI) -> Iterator[Route | Mount]:
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, Route | Mount) or route.path != context.path:
            raise LookupError(f"{route!r} is a route that the guard cannot stand before")
        yield route


def _verbs(route: Route | Mount) -> set[str]:
    """That a route answers; what is mounted are files, which are read."""
    verbs = route.methods if isinstance(route, Route) else {"GET"}
    return (verbs or set()) - {"HEAD"}


def _need(verb: str, route: Route | Mount) -> Need:
    need = need_of_route(verb, route.path)
    if need is None:
        raise LookupError(f"the route {verb} {route.path} is not in service/permissions.py")
    return need
