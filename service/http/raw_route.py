"""A route that hands its endpoint the request and nothing else. For bodies that are no JSON model.

FastAPI's own handler resolves dependencies and validates bodies for each request. Infer reads its
body raw, because clients of the protocol send any Content-Type or none, and pays for nothing else;
it stays a route of the app and a part of its OpenAPI document.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

__all__ = ["RawRoute"]


class RawRoute(APIRoute):
    """Calls ``endpoint(request, **path_params)``; what it returns is the response."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls for each request; called once, when the route is made."""

        async def handle(request: Request) -> Response:
            response: Response = await self.endpoint(request, **request.path_params)
            return response

        return handle
