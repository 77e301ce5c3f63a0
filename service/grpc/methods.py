"""The methods of the protocol: off the wire, to the data plane, and back. Decides nothing itself.

Source: https://github.com/kserve/open-inference-protocol, open_inference_grpc.proto.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.json_format import ParseDict

from bundle.tensors import TensorSpec
from service.control import ModelControl
from service.dataplane import DataPlane
from service.errors import NotFound, ServiceError
from service.grpc.access import request_of_stream
from service.grpc.codec import decode_request, encode_reply
from service.grpc.repository import RepositoryMethods
from service.grpc.schema import message
from service.grpc.settings import SettingsMethods
from service.grpc.shared_memory import SharedMemoryMethods
from service.grpc.statuses import told
from service.grpc.versions import parse_version
from service.http.health import offered_extensions
from service.machine import normserve_version
from service.statistics import statistics_document
from service.tracing.current import failed

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
_StreamReply = message("ModelStreamInferResponse")


class Methods(SharedMemoryMethods, SettingsMethods, RepositoryMethods):
    """What the protocol's methods do, each under its name in snake case.

    Those that are not here are UNIMPLEMENTED.

    Args:
        plane: what is asked.
        control: what loads and unloads models.
    """

    def __init__(self, plane: DataPlane, control: ModelControl) -> None:
        super().__init__(plane.regions)
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
            name="normserve",
            version=normserve_version(),
            extensions=offered_extensions(self._plane),
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
        documents = [statistics_document(m.name, m.version, seen) for m, seen in found]
        return ParseDict({"model_stats": documents}, _Statistics())

    async def model_infer(self, request: Any) -> Any:
        """Compute."""
        model = self._plane.model(request.model_name, parse_version(request.model_version))
        with model.recorder.begin() as passage:
            model.runner.require_room()
            decoded = decode_request(request, model.signature)
            return encode_reply(await self._plane.infer(model, decoded, passage))

    async def model_stream_infer(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Compute request after request; replies come in the same order.

        A request that fails is told in its reply, and the stream goes on.
        """
        waiting: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        room = asyncio.Semaphore(_STREAM_DEPTH)
        started: set[asyncio.Task[Any]] = set()

        async def read() -> None:
            try:
                async for request in requests:
                    await room.acquire()
                    task = asyncio.create_task(self._stream_reply(request))
                    started.add(task)
                    task.add_done_callback(started.discard)
                    waiting.put_nowait(task)
                    del task, request  # they would be kept until the next one comes
            finally:  # waits for nothing: it is passed when the reader is cancelled, too
                waiting.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await waiting.get()) is not None:
                reply = await task
                yield reply
                del task, reply  # as above
                room.release()
            await reader
        finally:  # also where the client is gone
            for unfinished in (reader, *started):
                unfinished.cancel()

    async def _stream_reply(self, request: Any) -> Any:
        reply = _StreamReply()
        with request_of_stream(request) as exchange:
            try:
                reply.infer_response.CopyFrom(await self.model_infer(request))
                exchange.answered(reply.ByteSize())
            except ServiceError as err:
                failed(err)
                code, reply.error_message = told(err)
                reply.infer_response.id = request.id
                exchange.refused(code.name, reply.error_message)
        reply.infer_response.parameters["triton_final_response"].bool_param = True
        return reply


def _tensor(spec: TensorSpec) -> Any:
    return message("ModelMetadataResponse").TensorMetadata(
        name=spec.name,
        datatype=spec.datatype.value,
        shape=[-1 if isinstance(size, str) else size for size in spec.shape],
    )
