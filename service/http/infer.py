"""The infer route: off the wire, through the codec, to the data plane, and back the same way."""

import asyncio
from collections.abc import Set as AbstractSet

from fastapi import APIRouter, Request, Response

from service.codec import EncodedReply, decode_raw_request, decode_request, encode_reply
from service.dataplane import DataPlane
from service.http.bodies import read_body, read_header_length
from service.http.compression import compress, negotiate
from service.http.openapi import INFER_REPLY, INFER_REQUEST, failures
from service.http.paths import MODEL, MODEL_VERSION, ModelName, Version, parse_version
from service.http.raw_route import RawRoute
from service.inference import InferenceReply

__all__ = ["infer_router"]

_QUICK_BYTES = 1 << 14
"""Bytes that are compressed in less time than handing them to another thread and back takes."""

_QUICK_JSON_BYTES = 1 << 20
"""JSON that is read in some milliseconds; more of it would keep other requests waiting."""

_QUICK_ELEMENTS = 1 << 16
"""Numbers or strings that are written as JSON in some milliseconds."""


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
            if header_length == 0:
                decoded = decode_raw_request(body, model.signature)
            elif (header_length or len(body)) <= _QUICK_JSON_BYTES:
                decoded = decode_request(body, model.signature, header_length=header_length)
            else:
                decoded = await asyncio.to_thread(
                    decode_request, body, model.signature, header_length=header_length
                )
            del body
            reply = await plane.infer(model, decoded.request, passage)
            binary = decoded.binary_outputs
            if _json_elements(reply, binary) <= _QUICK_ELEMENTS:
                encoded = encode_reply(reply, binary_outputs=binary)
            else:
                encoded = await asyncio.to_thread(encode_reply, reply, binary_outputs=binary)
        return await _respond(
            encoded, request.headers.get("accept-encoding"), level=compression_level
        )

    @router.post(
        f"{MODEL}/infer",
        summary="Compute",
        responses=INFER_REPLY | failures(400, 404, 413, 415, 503),
        openapi_extra=INFER_REQUEST,
    )
    async def infer(request: Request, model: ModelName) -> Response:
        return await answer(request, model, None)

    @router.post(
        f"{MODEL_VERSION}/infer",
        summary="Compute with one version",
        responses=INFER_REPLY | failures(400, 404, 413, 415, 503),
        openapi_extra=INFER_REQUEST,
    )
    async def infer_version(request: Request, model: ModelName, version: Version) -> Response:
        return await answer(request, model, version)

    return router


def _json_elements(reply: InferenceReply, binary_outputs: AbstractSet[str]) -> int:
    outputs = (each for each in reply.outputs if each.spec.name not in binary_outputs)
    return sum(output.array.size for output in outputs)


async def _respond(encoded: EncodedReply, accept_encoding: str | None, *, level: int) -> Response:
    body = encoded.body
    headers = {"Vary": "Accept-Encoding"} if level else {}
    media_type = "application/json"
    if encoded.header_length is not None:
        media_type = "application/octet-stream"
        headers["Inference-Header-Content-Length"] = str(encoded.header_length)
    coding = negotiate(accept_encoding) if level else None
    if coding is not None:
        headers["Content-Encoding"] = coding
        if len(body) <= _QUICK_BYTES:
            body = compress(body, coding, level=level)
        else:
            body = await asyncio.to_thread(compress, body, coding, level=level)
    return Response(body, headers=headers, media_type=media_type)
