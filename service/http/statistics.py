"""How often models were asked, and how long that took. Counts nothing."""

from fastapi import APIRouter
from pydantic import BaseModel

from service.dataplane import DataPlane
from service.http.openapi import failures
from service.http.paths import MODEL, MODEL_VERSION, ModelName, Version, parse_version
from service.registry import ServedModel
from service.statistics import Duration, Statistics

__all__ = ["statistics_router"]


class DurationBody(BaseModel):
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0


class InferenceStatistics(BaseModel):
    """Of requests, by how they ended and what they spent their time on."""

    success: DurationBody
    fail: DurationBody
    queue: DurationBody
    compute_input: DurationBody = DurationBody()
    compute_infer: DurationBody
    compute_output: DurationBody = DurationBody()
    cache_hit: DurationBody = DurationBody()
    cache_miss: DurationBody = DurationBody()


class BatchStatistics(BaseModel):
    """Of runs with one batch size."""

    batch_size: int
    compute_input: DurationBody = DurationBody()
    compute_infer: DurationBody
    compute_output: DurationBody = DurationBody()


class ModelStatistics(BaseModel):
    """Of one version since it was loaded."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics
    response_stats: dict[str, int] = {}
    batch_stats: list[BatchStatistics]
    memory_usage: list[int] = []


class StatisticsBody(BaseModel):
    """The statistics extension's document."""

    model_stats: list[ModelStatistics]


def statistics_router(plane: DataPlane) -> APIRouter:
    """The routes of the statistics; they come before those of a model that is called stats."""
    router = APIRouter(tags=["models"])

    def tell(name: str | None, version: str | None) -> StatisticsBody:
        found = plane.statistics(name, parse_version(version))
        return StatisticsBody(model_stats=[_body(model, seen) for model, seen in found])

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


def _body(model: ServedModel, seen: Statistics) -> ModelStatistics:
    runs = [BatchStatistics(batch_size=1, compute_infer=_duration(seen.compute))]
    return ModelStatistics(
        name=model.name,
        version=str(model.version),
        last_inference=seen.last_inference_ms,
        inference_count=seen.inference_count,
        execution_count=seen.execution_count,
        inference_stats=InferenceStatistics(
            success=_duration(seen.success),
            fail=_duration(seen.fail),
            queue=_duration(seen.queue),
            compute_infer=_duration(seen.compute),
        ),
        batch_stats=runs if seen.execution_count else [],
    )


def _duration(duration: Duration) -> DurationBody:
    return DurationBody(count=duration.count, ns=duration.ns)
