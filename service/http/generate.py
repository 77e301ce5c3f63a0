"""The generate routes: flat JSON in, flat JSON or one server-sent event out. Computes nothing.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_generate.md. A
model here answers a request once, so its stream is one event.
"""

from fastapi import APIRouter, Request, Response

from service.codec.generate import decode_generate, encode_generate
from service.dataplane import DataPlane
from service.http.bodies import read_body
from service.http.openapi import GENERATE_EVENTS, GENERATE_REPLY, GENERATE_REQUEST, failures
from service.http.paths import MODEL, MODEL_VERSION, ModelName, Version, parse_version
from service.http.raw_route import RawRoute

__all__ = ["generate_router"]


def generate_router(plane: DataPlane, *, max_request_bytes: int) -> APIRouter:
    """The routes that compute with flat JSON."""
    router = APIRouter(route_class=RawRoute, tags=["inference"])
    errors = failures(400, 404, 413, 415, 503)

    async def answer(request: Request, name: str, version: str | None) -> bytes:
        number = parse_version(version)
        plane.model(name, number)  # what cannot answer is refused before its body is read
        body = await read_body(request, limit=max_request_bytes)
        model = plane.model(name, number)  # it may have been replaced while the body came
        with model.recorder.begin() as passage:
            model.runner.require_room()
            decoded = decode_generate(body, model.signature)
            return encode_generate(await plane.infer(model, decoded, passage))

    async def once(request: Request, name: str, version: str | None) -> Response:
        return Response(await answer(request, name, version), media_type="application/json")

    async def stream(request: Request, name: str, version: str | None) -> Response:
        event = b"data: %b\n\n" % await answer(request, name, version)
        return Response(event, media_type="text/event-stream")

    @router.post(
        f"{MODEL}/generate",
        summary="Compute, with inputs and outputs as the keys of one object",
        responses=GENERATE_REPLY | errors,
        openapi_extra=GENERATE_REQUEST,
    )
    async def generate(request: Request, model: ModelName) -> Response:
        return await once(request, model, None)

    @router.post(
        f"{MODEL_VERSION}/generate",
        summary="The same with one version",
        responses=GENERATE_REPLY | errors,
        openapi_extra=GENERATE_REQUEST,
    )
    async def generate_version(request: Request, model: ModelName, version: Version) -> Response:
        return await once(request, model, version)

    @router.post(
        f"{MODEL}/generate_stream",
        summary="The same as a server-sent event",
        response_class=Response,
        responses=GENERATE_EVENTS | errors,
        openapi_extra=GENERATE_REQUEST,
    )
    async def generate_stream(request: Request, model: ModelName) -> Response:
        return await stream(request, model, None)

    @router.post(
        f"{MODEL_VERSION}/generate_stream",
        summary="The same as a server-sent event, with one version",
        response_class=Response,
        responses=GENERATE_EVENTS | errors,
        openapi_extra=GENERATE_REQUEST,
    )
    async def generate_stream_version(
        request: Request, model: ModelName, version: Version
    ) -> Response:
        return await stream(request, model, version)

    return router
