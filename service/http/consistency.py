"""The routes about consistency: what is known of a model, and have it found out again."""

from http import HTTPStatus

from fastapi import APIRouter

from service.consistency import Examiner
from service.dataplane import DataPlane
from service.http.consistency_schemas import ConsistencyBody
from service.http.openapi import failures
from service.http.paths import MODEL, MODEL_VERSION, ModelName, Version, parse_version

__all__ = ["consistency_router"]

_READ = "Does the model answer as it should, as far as that is known here?"
_ESTABLISH = "Make every check of the model again, in the background"


def consistency_router(plane: DataPlane, *, examiner: Examiner, fraction: float) -> APIRouter:
    """The routes about consistency.

    Args:
        plane: finds the models.
        examiner: establishes their consistency.
        fraction: of the requests, that the canary draws.
    """
    router = APIRouter(tags=["consistency"])

    def tell(name: str, version: str | None) -> ConsistencyBody:
        model = plane.model(name, parse_version(version))
        return ConsistencyBody.of(model.consistency, fraction=fraction)

    def establish(name: str, version: str | None) -> ConsistencyBody:
        model = plane.model(name, parse_version(version))
        examiner.examine(model.consistency)
        return ConsistencyBody.of(model.consistency, fraction=fraction)

    @router.get(f"{MODEL}/consistency", summary=_READ, responses=failures(404, 503))
    async def model_consistency(model: ModelName) -> ConsistencyBody:
        return tell(model, None)

    @router.get(f"{MODEL_VERSION}/consistency", summary=_READ, responses=failures(404, 503))
    async def version_consistency(model: ModelName, version: Version) -> ConsistencyBody:
        return tell(model, version)

    @router.post(
        f"{MODEL}/consistency",
        summary=_ESTABLISH,
        status_code=HTTPStatus.ACCEPTED,
        responses=failures(403, 404, 503),
    )
    async def examine_model(model: ModelName) -> ConsistencyBody:
        return establish(model, None)

    @router.post(
        f"{MODEL_VERSION}/consistency",
        summary=_ESTABLISH,
        status_code=HTTPStatus.ACCEPTED,
        responses=failures(403, 404, 503),
    )
    async def examine_version(model: ModelName, version: Version) -> ConsistencyBody:
        return establish(model, version)

    return router
