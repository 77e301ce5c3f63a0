"""Loading and unloading models over HTTP. Decides nothing: `service.control` does.

Source: https://github.com/triton-inference-server/server, in docs/protocol
extension_model_repository.md.
"""

import asyncio
import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request, Response

from service.codec.text import kind, optional_object, parse_object
from service.control import ModelControl
from service.errors import ParameterInvalid, RepositoryUnknown, excerpt
from service.http.bodies import read_body
from service.http.openapi import failures, json_body
from service.http.paths import ModelName
from service.http.schemas import LoadRequest, UnloadRequest
from service.repository import FILE, GivenModel, check_parameters

__all__ = ["repository_router"]


def repository_router(control: ModelControl, *, max_request_bytes: int) -> APIRouter:
    """The routes that change what is served."""
    router = APIRouter(tags=["models"])

    @router.post(
        "/v2/repository/models/{model}/load",
        summary="Load a model, or load it again beside the one that answers",
        response_class=Response,
        responses=failures(400, 403, 404, 413, 415),
        openapi_extra=json_body(LoadRequest, required=False, example={}),
    )
    async def load(request: Request, model: ModelName) -> Response:
        body = await read_body(request, limit=max_request_bytes)
        given = await asyncio.to_thread(_given, body)
        await control.load(model, given)
        return Response()

    @router.post(
        "/v2/repository/models/{model}/unload",
        summary="Take a model out of service once its requests have finished",
        response_class=Response,
        responses=failures(400, 403, 413, 415),
        openapi_extra=json_body(
            UnloadRequest, required=False, example={"parameters": {"unload_dependents": False}}
        ),
    )
    async def unload(request: Request, model: ModelName) -> Response:
        check_parameters(_parameters(await read_body(request, limit=max_request_bytes)))
        await control.unload(model)
        return Response()

    @router.post("/v2/repository/{repository}/index", include_in_schema=False)
    @router.post("/v2/repository/{repository}/models/{model}/load", include_in_schema=False)
    @router.post("/v2/repository/{repository}/models/{model}/unload", include_in_schema=False)
    async def refuse_named(repository: str) -> Response:
        raise RepositoryUnknown(repository)

    return router


def _given(body: bytes) -> GivenModel:
    """What is to be loaded; the contents of files are in base 64."""
    parameters = {
        name: _decode(name, value) if name.startswith(FILE) else value
        for name, value in _parameters(body).items()
    }
    return GivenModel.of_parameters(parameters)


def _parameters(body: bytes) -> dict[str, Any]:
    fields = parse_object(body) if body else {}  # clients of the protocol send nothing at all
    parameters = optional_object(fields, "parameters", of="the request")
    return {name: value for name, value in parameters.items() if value is not None}


def _decode(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise ParameterInvalid(f"parameter {excerpt(name)} must be a string; it is {kind(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as err:
        raise ParameterInvalid(f"parameter {excerpt(name)} is not base 64: {err}") from err
