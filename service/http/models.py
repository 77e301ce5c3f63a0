"""What the models are, whether they are ready, and which there are. Infer is elsewhere."""

from typing import Any

from fastapi import APIRouter, Request

from bundle.tensors import TensorSpec
from service.codec.text import kind, parse_object
from service.dataplane import DataPlane
from service.errors import JsonInvalid, ModelNotReady
from service.http.bodies import read_body
from service.http.openapi import failures, json_body
from service.http.paths import MODEL, MODEL_VERSION, ModelName, Version, parse_version
from service.http.schemas import (
    IndexEntry,
    IndexRequest,
    ModelMetadataBody,
    ModelReady,
    TensorMetadata,
)
from service.model_config import config_as_json
from service.registry import State

__all__ = ["models_router"]


def models_router(plane: DataPlane, *, max_request_bytes: int) -> APIRouter:
    """The routes about models."""
    router = APIRouter(tags=["models"])

    def describe(name: str, version: str | None) -> ModelMetadataBody:
        metadata = plane.model_metadata(name, parse_version(version))
        return ModelMetadataBody(
            name=metadata.name,
            versions=list(map(str, metadata.versions)),
            platform=metadata.platform,
            inputs=list(map(_tensor, metadata.inputs)),
            outputs=list(map(_tensor, metadata.outputs)),
            properties=dict(metadata.properties),
        )

    def tell_ready(name: str, version: str | None) -> ModelReady:
        readiness = plane.model_readiness(name, parse_version(version))
        if readiness.reason is not None:
            raise ModelNotReady(readiness.reason)
        return ModelReady(name=name, ready=True)

    @router.get(
        MODEL,
        summary="What does the model take, give, and what is known of it?",
        responses=failures(404, 503),
    )
    async def model_metadata(model: ModelName) -> ModelMetadataBody:
        return describe(model, None)

    @router.get(
        MODEL_VERSION,
        summary="The same for one version",
        responses=failures(404, 503),
    )
    async def version_metadata(model: ModelName, version: Version) -> ModelMetadataBody:
        return describe(model, version)

    @router.get(f"{MODEL}/ready", summary="Can the model answer?", responses=failures(404, 503))
    async def model_ready(model: ModelName) -> ModelReady:
        return tell_ready(model, None)

    @router.get(
        f"{MODEL_VERSION}/ready",
        summary="Can this version of the model answer?",
        responses=failures(404, 503),
    )
    async def version_ready(model: ModelName, version: Version) -> ModelReady:
        return tell_ready(model, version)

    @router.get(
        f"{MODEL}/config",
        summary="The configuration that the model is served with, as Triton writes it",
        responses=failures(404, 503),
    )
    async def model_config(model: ModelName) -> dict[str, Any]:
        return config_as_json(plane.model_config(model))

    @router.get(
        f"{MODEL_VERSION}/config", summary="The same for one version", responses=failures(404, 503)
    )
    async def version_config(model: ModelName, version: Version) -> dict[str, Any]:
        return config_as_json(plane.model_config(model, parse_version(version)))

    @router.post(
        "/v2/repository/index",
        summary="Every model version, its state, and the reason for it",
        responses=failures(400, 413, 415),
        openapi_extra=json_body(IndexRequest, required=False, example={"ready": False}),
    )
    async def index(request: Request) -> list[IndexEntry]:
        only_ready = _only_ready(await read_body(request, limit=max_request_bytes))
        return [
            IndexEntry(
                name=entry.name,
                version=str(entry.version),
                state=entry.state,
                reason=entry.reason,
            )
            for entry in plane.index()
            if entry.state is State.READY or not only_ready
        ]

    return router


def _tensor(spec: TensorSpec) -> TensorMetadata:
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=shape)


def _only_ready(body: bytes) -> bool:
    fields = parse_object(body) if body else {}  # clients of the protocol send nothing at all
    ready = fields.get("ready", False)
    if not isinstance(ready, bool):
        raise JsonInvalid(f"'ready' must be true or false; got {kind(ready)}")
    return ready
