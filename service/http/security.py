"""What the OpenAPI document says of keys, where this server has any. Checks none."""

from typing import Any, Final

from fastapi import FastAPI

from service.guard import Guard
from service.http.openapi import failures
from service.permissions import Need, need_of_route

__all__ = ["install_security"]

_SCHEME: Final = "key"


def install_security(app: FastAPI, guard: Guard) -> None:
    """Say in the app's document which operations want a key, and what they answer without it."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        components = document.setdefault("components", {})
        for path, operations in document["paths"].items():
            for verb, operation in operations.items():
                need = need_of_route(verb.upper(), path)
                if need is not None and guard.wants_key(need):
                    components["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
                    operation["security"] = [{_SCHEME: []}]
                    operation["responses"] |= _refusals(need)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation gives


def _refusals(need: Need) -> dict[str, Any]:
    statuses = (401, 403) if need is Need.ADMIN else (401,)
    return {str(status): failures(status)[status] for status in statuses}
