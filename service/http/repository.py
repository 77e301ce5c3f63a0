"""Loading and unloading models over HTTP. Decides nothing: `service.control` does.

Source: https://github.com/triton-inference-server/server, in docs/protocol
extension_model_repository.md.
"""

from fastapi import APIRouter, Request, Response

from service.codec.text import optional_object, parse_object
from service.control import ModelControl
from service.errors import ParameterInvalid, excerpt
from service.http.bodies import read_body
from service.http.openapi import failures
from service.http.paths import ModelName

__all__ = ["repository_router"]

_IGNORED = frozenset({"unload_dependents"})


def repository_router(control: ModelControl, *, max_request_bytes: int) -> APIRouter:
    """The routes that change what is served."""
    router = APIRouter(tags=["models"])

    async def require_no_files(request: Request) -> None:
        body = await read_body(request, limit=max_request_bytes)
        fields = parse_object(body) if body else {}
        parameters = optional_object(fields, "parameters", of="the request")
        refused = next((name for name in parameters if name not in _IGNORED), None)
        if refused is not None:
            raise ParameterInvalid(
                f"parameter {excerpt(refused)} is not offered: models are loaded as the repository"
                " has them"
            )

    @router.post(
        "/v2/repository/models/{model}/load",
        summary="Load a model, or load it again beside the one that answers",
        responses=failures(400, 403, 404, 413, 415, 503),
    )
    async def load(request: Request, model: ModelName) -> Response:
        await require_no_files(request)
        await control.load(model)
        return Response()

    @router.post(
        "/v2/repository/models/{model}/unload",
        summary="Take a model out of service once its requests have finished",
        responses=failures(400, 403, 413, 415),
    )
    async def unload(request: Request, model: ModelName) -> Response:
        await require_no_files(request)
        await control.unload(model)
        return Response()

    return router
