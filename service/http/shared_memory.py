"""Shared memory over HTTP: what is registered, registering and unregistering it.

Decides nothing: `service.shared_memory` does. Source:
https://github.com/triton-inference-server/server, in docs/protocol extension_shared_memory.md.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from service.codec.text import parse_object, size_field, text_field
from service.http.bodies import read_body
from service.http.openapi import failures, json_body
from service.http.schemas import RegionStatus, RegisterRequest
from service.shared_memory import Region, Regions, find_cuda_regions, refuse_cuda

__all__ = ["shared_memory_router"]

_SYSTEM = "/v2/systemsharedmemory"
_CUDA = "/v2/cudasharedmemory"

RegionName = Annotated[str, Path(description="The client's name for the region.", examples=["in"])]


def shared_memory_router(regions: Regions, *, max_request_bytes: int) -> APIRouter:
    """The routes about regions of shared memory."""
    router = APIRouter(tags=["shared memory"])

    @router.get(f"{_SYSTEM}/status", summary="Which regions are registered?")
    async def status() -> list[RegionStatus]:
        return list(map(_told, regions.find()))

    @router.get(
        f"{_SYSTEM}/region/{{region}}/status",
        summary="The same for one region",
        responses=failures(404),
    )
    async def region_status(region: RegionName) -> list[RegionStatus]:
        return list(map(_told, regions.find(region)))

    @router.post(
        f"{_SYSTEM}/region/{{region}}/register",
        summary="Make a part of a shared memory object known by a name",
        response_class=Response,
        responses=failures(400, 403, 413, 415),
        openapi_extra=json_body(
            RegisterRequest, required=True, example={"key": "/in", "offset": 0, "byte_size": 64}
        ),
    )
    async def register(request: Request, region: RegionName) -> Response:
        fields = parse_object(await read_body(request, limit=max_request_bytes))
        regions.register(
            Region(
                name=region,
                key=text_field(fields, "key", of="the request"),
                offset=size_field(fields, "offset", of="the request", default=0),
                byte_size=size_field(fields, "byte_size", of="the request"),
            )
        )
        return Response()

    @router.post(f"{_SYSTEM}/unregister", summary="Forget every region", response_class=Response)
    async def unregister() -> Response:
        regions.unregister()
        return Response()

    @router.post(
        f"{_SYSTEM}/region/{{region}}/unregister",
        summary="Forget a region",
        response_class=Response,
        responses=failures(),
    )
    async def unregister_region(region: RegionName) -> Response:
        regions.unregister(region)
        return Response()

    _add_cuda(router)
    return router


def _add_cuda(router: APIRouter) -> None:
    """The same routes for CUDA memory, of which there is none."""

    @router.get(f"{_CUDA}/status", summary="Which CUDA regions are registered? None can be")
    async def status() -> list[Any]:
        return list(find_cuda_regions())

    @router.get(
        f"{_CUDA}/region/{{region}}/status",
        summary="The same for one CUDA region",
        responses=failures(404),
    )
    async def region_status(region: RegionName) -> list[Any]:
        return list(find_cuda_regions(region))

    @router.post(
        f"{_CUDA}/region/{{region}}/register",
        summary="Is refused: there is no CUDA shared memory here",
        response_class=Response,
        responses=failures(400),
    )
    async def register(region: RegionName) -> Response:
        refuse_cuda(region)

    @router.post(f"{_CUDA}/unregister", summary="Forget every CUDA region", response_class=Response)
    async def unregister() -> Response:
        return Response()

    @router.post(
        f"{_CUDA}/region/{{region}}/unregister",
        summary="Forget a CUDA region",
        response_class=Response,
        responses=failures(),
    )
    async def unregister_region(region: RegionName) -> Response:
        return Response()


def _told(region: Region) -> RegionStatus:
    return RegionStatus(
        name=region.name, key=region.key, offset=region.offset, byte_size=region.byte_size
    )
