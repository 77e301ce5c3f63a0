"""The infer route: off the wire, through the codec, to the data plane, and back the same way."""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response

from service.codec import decode_raw_request, decode_request
from service.dataplane import DataPlane
from service.http.bodies import QUICK_JSON_BYTES, read_body, read_header_length
from service.http.compression import negotiate
from service.http.openapi import INFER_REPLY, INFER_REQUEST, failures
from service.http.paths import INFER, INFER_VERSION, ModelName, Version, parse_version
from service.http.raw_route import RawRoute
from service.http.replies import answer_of, is_quick

__all__ = ["infer_router"]


def infer_router(plane: DataPlane, *, max_request_bytes: int, compression_level: int) -> APIRouter:
    """The routes that compute."""
    router = APIRouter(route_class=RawRoute, tags=["inference"])

    async def answer(request: Request, name: str, version: str | None) -> Response:
        number = parse_version(version)
        plane.model(name, number)  # what cannot answer is refused before its body is read
        body = await read_body(request, limit=max_request_bytes)
        header_length = read_header_length(request)
        model = plane.model(name, number)  # it may have been replaced while the body came
        with model.recorder.begin() as passage:
            model.runner.require_room()
            if header_length == 0:
                decoded = decode_raw_request(body, model.signature)
            elif (header_length or len(body)) <= QUICK_JSON_BYTES:
                decoded = decode_request(body, model.signature, header_length=header_length)
            else:
                decoded = await asyncio.to_thread(
                    decode_request, body, model.signature, header_length=header_length
                )
            del body
            reply = await plane.infer(model, decoded.request, passage)
            accepted = request.headers.get("accept-encoding")
            coding = negotiate(accepted) if compression_level else None
            binary = decoded.binary_outputs
            respond = partial(
                answer_of, reply, binary_outputs=binary, coding=coding, level=compression_level
            )
            if is_quick(reply, binary_outputs=binary, coding=coding):
                return respond().response()
            return (await asyncio.to_thread(respond)).response()

    @router.post(
        INFER,
        summary="Compute",
        responses=INFER_REPLY | failures(400, 404, 413, 415, 503),
        openapi_extra=INFER_REQUEST,
    )
    async def infer(request: Request, model: ModelName) -> Response:
        return await answer(request, model, None)

    @router.post(
        INFER_VERSION,
        summary="Compute with one version",
        responses=INFER_REPLY | failures(400, 404, 413, 415, 503),
        openapi_extra=INFER_REQUEST,
    )
    async def infer_version(request: Request, model: ModelName, version: Version) -> Response:
        return await answer(request, model, version)

    return router
