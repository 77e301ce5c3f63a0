"""The methods of the protocol: off the wire, to the data plane, and back. Decides nothing itself.

Source: https://github.com/kserve/open-inference-protocol, open_inference_grpc.proto.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from bundle.tensors import TensorSpec
from service.control import ModelControl
from service.dataplane import DataPlane
from service.errors import NotFound, ParameterInvalid, ServiceError, excerpt
from service.grpc.codec import decode_request, encode_reply
from service.grpc.schema import message
from service.grpc.statuses import told
from service.grpc.versions import parse_version
from service.http.health import EXTENSIONS
from service.machine import normserve_version

__all__ = ["Methods"]

_STREAM_DEPTH = 32
"""Requests of one stream that are in work at a time: enough for a batch, and bounded."""

_ServerLive = message("ServerLiveResponse")
_ServerReady = message("ServerReadyResponse")
_ModelReady = message("ModelReadyResponse")
_ServerMetadata = message("ServerMetadataResponse")
_ModelMetadata = message("ModelMetadataResponse")
_ModelConfig = message("ModelConfigResponse")
_Statistics = message("ModelStatisticsResponse")
_Index = message("RepositoryIndexResponse")
_Load = message("RepositoryModelLoadResponse")
_Unload = message("RepositoryModelUnloadResponse")
_StreamReply = message("ModelStreamInferResponse")


class Methods:
    """What the protocol's methods do, each under its name in snake case.

    Those that are not here are UNIMPLEMENTED.

    Args:
        plane: what is asked.
        control: what loads and unloads models.
    """

    def __init__(self, plane: DataPlane, control: ModelControl) -> None:
        self._plane = plane
        self._control = control

    async def server_live(self, _: Any) -> Any:
        """Whether the process answers."""
        return _ServerLive(live=True)

    async def server_ready(self, _: Any) -> Any:
        """Whether it can answer for every model."""
        return _ServerReady(ready=self._plane.readiness().ready)

    async def model_ready(self, request: Any) -> Any:
        """Whether a model can answer; one that nobody knows cannot."""
        try:
            version = parse_version(request.version)
            return _ModelReady(ready=self._plane.model_readiness(request.name, version).ready)
        except NotFound:
            return _ModelReady(ready=False)

    async def server_metadata(self, _: Any) -> Any:
        """What this server is."""
        return _ServerMetadata(
            name="normserve", version=normserve_version(), extensions=list(EXTENSIONS)
        )

    async def model_metadata(self, request: Any) -> Any:
        """What a model says of itself."""
        found = self._plane.model_metadata(request.name, parse_version(request.version))
        return _ModelMetadata(
            name=found.name,
            versions=map(str, found.versions),
            platform=found.platform,
            inputs=map(_tensor, found.inputs),
            outputs=map(_tensor, found.outputs),
        )

    async def model_config(self, request: Any) -> Any:
        """The configuration that a model is served with."""
        config = self._plane.model_config(request.name, parse_version(request.version))
        return _ModelConfig(config=config)

    async def model_statistics(self, request: Any) -> Any:
        """How often models were asked, and how long that took."""
        found = self._plane.statistics(request.name or None, parse_version(request.version))
        response = _Statistics()
        for model, seen in found:
            told = response.model_stats.add(
                name=model.name,
                version=str(model.version),
                last_inference=seen.last_inference_ms,
                inference_count=seen.inference_count,
                execution_count=seen.execution_count,
            )
            parts = {"success": seen.success, "fail": seen.fail, "queue": seen.queue}
            parts |= {"compute_infer": seen.compute}
            for part, duration in parts.items():
                each = getattr(told.inference_stats, part)
                each.count, each.ns = duration.count, duration.ns
        return response

    async def repository_index(self, request: Any) -> Any:
        """Every version of every model and its state."""
        entries = self._plane.index()
        response = _Index()
        for entry in entries:
            if not request.ready or entry.state == "READY":
                response.models.add(
                    name=entry.name,
                    version=str(entry.version),
                    state=entry.state.value,
                    reason=entry.reason or "",
                )
        return response

    async def repository_model_load(self, request: Any) -> Any:
        """Load a model, or load it again."""
        _require_no_files(request.parameters)
        await self._control.load(_model_of(request))
        return _Load()

    async def repository_model_unload(self, request: Any) -> Any:
        """Take a model out of service."""
        await self._control.unload(_model_of(request))
        return _Unload()

    async def model_infer(self, request: Any) -> Any:
        """Compute."""
        model = self._plane.model(request.model_name, parse_version(request.model_version))
        decoded = decode_request(request, model.signature)
        return encode_reply(await self._plane.infer(model, decoded))

    async def model_stream_infer(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Compute request after request; replies come in the same order.

        A request that fails is told in its reply, and the stream goes on.
        """
        waiting: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(_STREAM_DEPTH)
        started: set[asyncio.Task[Any]] = set()

        async def read() -> None:
            try:
                async for request in requests:
                    task = asyncio.create_task(self._stream_reply(request))
                    started.add(task)
                    task.add_done_callback(started.discard)
                    await waiting.put(task)
            finally:
                await waiting.put(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await waiting.get()) is not None:
                yield await task
            await reader
        finally:  # also where the client is gone
            for unfinished in (reader, *started):
                unfinished.cancel()

    async def _stream_reply(self, request: Any) -> Any:
        reply = _StreamReply()
        try:
            reply.infer_response.CopyFrom(await self.model_infer(request))
        except ServiceError as err:
            reply.error_message = told(err)[1]
            reply.infer_response.id = request.id
        reply.infer_response.parameters["triton_final_response"].bool_param = True
        return reply


def _model_of(request: Any) -> str:
    """KServe's message has the model where Triton's has the repository; there is one repository."""
    name: str = request.model_name or request.repository_name
    return name


def _require_no_files(parameters: Iterable[str]) -> None:
    refused = next(iter(sorted(parameters)), None)
    if refused is not None:
        raise ParameterInvalid(
            f"parameter {excerpt(refused)} is not offered: models are loaded as the repository has"
            " them"
        )


def _tensor(spec: TensorSpec) -> Any:
    return message("ModelMetadataResponse").TensorMetadata(
        name=spec.name,
        datatype=spec.datatype.value,
        shape=[-1 if isinstance(size, str) else size for size in spec.shape],
    )
