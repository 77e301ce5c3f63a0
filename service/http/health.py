"""Whether the server answers and is ready, and what it is."""

from fastapi import APIRouter

from service.dataplane import DataPlane
from service.errors import ServerNotReady
from service.http.openapi import failures
from service.http.schemas import Live, Ready, ServerMetadata
from service.machine import normserve_version

__all__ = ["EXTENSIONS", "health_router", "offered_extensions"]

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "statistics",
)
"""The protocol's extensions that always work here, by Triton's names for them."""


def offered_extensions(plane: DataPlane) -> list[str]:
    """The extensions that work here, with those that a setting opens."""
    opened = ["system_shared_memory"] if plane.regions.is_open else []
    opened += ["trace"] if plane.traces.is_possible else []
    return sorted([*EXTENSIONS, *opened])


def health_router(plane: DataPlane) -> APIRouter:
    """The routes about the server as a whole."""
    router = APIRouter(tags=["server"])

    @router.get("/v2/health/live", summary="Does the process answer?")
    async def live() -> Live:
        return Live(live=True)

    @router.get(
        "/v2/health/ready", summary="Can it answer for every model?", responses=failures(503)
    )
    async def ready() -> Ready:
        readiness = plane.readiness()
        if readiness.reason is not None:
            raise ServerNotReady(readiness.reason)
        return Ready(ready=True)

    @router.get("/v2/", include_in_schema=False)
    @router.get("/v2", summary="What is this server?")
    async def metadata() -> ServerMetadata:
        return ServerMetadata(
            name="normserve", version=normserve_version(), extensions=offered_extensions(plane)
        )

    return router
