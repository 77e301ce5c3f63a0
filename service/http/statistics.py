"""How often models were asked, and how long that took. Counts nothing."""

from fastapi import APIRouter
from pydantic import BaseModel

from service.dataplane import DataPlane
from service.http.openapi import failures
from service.http.paths import MODEL, MODEL_VERSION, ModelName, Version, parse_version
from service.statistics import statistics_document

__all__ = ["statistics_router"]


class DurationBody(BaseModel):
    """How often, and how long in all."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Of requests, by how they ended and what they spent their time on."""

    success: DurationBody
    fail: DurationBody
    queue: DurationBody
    compute_input: DurationBody
    compute_infer: DurationBody
    compute_output: DurationBody
    cache_hit: DurationBody
    cache_miss: DurationBody


class BatchStatisticsBody(BaseModel):
    """Of runs with one batch size."""

    batch_size: int
    compute_input: DurationBody
    compute_infer: DurationBody
    compute_output: DurationBody


class ModelStatistics(BaseModel):
    """Of one version since it was loaded."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics
    response_stats: dict[str, int]
    batch_stats: list[BatchStatisticsBody]
    memory_usage: list[int]


class StatisticsBody(BaseModel):
    """The statistics extension's document."""

    model_stats: list[ModelStatistics]


def statistics_router(plane: DataPlane) -> APIRouter:
    """The routes of the statistics; they come before those of a model that is called stats."""
    router = APIRouter(tags=["models"])

    def tell(name: str | None, version: str | None) -> StatisticsBody:
        found = plane.statistics(name, parse_version(version))
        documents = [statistics_document(model.name, model.version, seen) for model, seen in found]
        return StatisticsBody.model_validate({"model_stats": documents})

    @router.get("/v2/models/stats", summary="The statistics of every model")
    async def of_all() -> StatisticsBody:
        return tell(None, None)

    @router.get(f"{MODEL}/stats", summary="The statistics of a model", responses=failures(404, 503))
    async def of_model(model: ModelName) -> StatisticsBody:
        return tell(model, None)

    @router.get(
        f"{MODEL_VERSION}/stats", summary="The same for one version", responses=failures(404, 503)
    )
    async def of_version(model: ModelName, version: Version) -> StatisticsBody:
        return tell(model, version)

    return router
