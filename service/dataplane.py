"""What every transport asks: is it alive, is it ready, what is there, compute this.

Knows no wire format and no status: a transport decodes, asks here, and encodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from bundle.tensors import Datatype, TensorSpec
from service.classification import classify
from service.consistency import Canary
from service.errors import ModelNotReady
from service.inference import InferenceReply, InferenceRequest, OutputTensor
from service.model_config import config_of
from service.registry import Registry, ServedModel, State, VersionEntry
from service.statistics import Statistics

__all__ = ["DataPlane", "ModelMetadata", "Readiness"]

PLATFORM: Final = "onnxruntime_onnx"
"""What Triton calls models that ONNX Runtime runs."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether something can answer.

    Attributes:
        reason: why it cannot; ``None`` when it can.
    """

    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Whether it can."""
        return self.reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """What a model says of itself.

    Attributes:
        name: of the model.
        versions: those that answer; where the question named one, only that.
        platform: what runs it.
        inputs: in the model's order.
        outputs: in the model's order.
        properties: what is known of the version that the rest is about, for people.
    """

    name: str
    versions: tuple[int, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    platform: str = PLATFORM
    properties: Mapping[str, str] = field(default_factory=dict)


class DataPlane:
    """The service, without a transport.

    Args:
        registry: what is served.
        strict_readiness: whether one version that is not READY makes the server not ready.
        canary: compares some of the answers; none where it is left out.
    """

    def __init__(
        self, registry: Registry, *, strict_readiness: bool, canary: Canary | None = None
    ) -> None:
        self._registry = registry
        self._canary = canary
        self._strict = strict_readiness
        self._loaded = False

    def mark_loaded(self) -> None:
        """The repository was gone through once: every version is READY or has failed."""
        self._loaded = True

    def readiness(self) -> Readiness:
        """Whether the server as a whole is ready."""
        entries = self._registry.entries()
        missing = [entry for entry in entries if entry.is_wanted and entry.state is not State.READY]
        if not self._loaded:
            ready = len(entries) - len(missing)
            return Readiness(f"loading: {ready} of {len(entries)} model versions are ready")
        if missing and self._strict:
            return Readiness("; ".join(map(_state, missing)))
        return Readiness()

    def model(self, name: str, version: int | None = None) -> ServedModel:
        """The model that a request is for; `infer` takes it.

        Raises:
            ModelUnknown: no model has that name.
            VersionUnknown: the model has no such version.
            ModelNotReady: it cannot answer now.
        """
        return self._registry.find(name, version)

    def model_readiness(self, name: str, version: int | None = None) -> Readiness:
        """Whether a model can answer.

        Raises:
            ModelUnknown: no model has that name.
            VersionUnknown: the model has no such version.
        """
        try:
            self._registry.find(name, version)
        except ModelNotReady as err:
            return Readiness(str(err))
        return Readiness()

    def model_metadata(self, name: str, version: int | None = None) -> ModelMetadata:
        """What a model says of itself.

        Raises:
            ModelUnknown: no model has that name.
            VersionUnknown: the model has no such version.
            ModelNotReady: it cannot answer now.
        """
        model = self._registry.find(name, version)
        entries = self._registry.versions(name)
        answering = tuple(e.version for e in entries if e.state is State.READY)
        properties = {"state": State.READY.value, "version": str(model.version), **model.properties}
        others = [entry for entry in entries if entry.state is not State.READY]
        if version is None and others:
            properties["not_ready"] = "; ".join(map(_state, others))
        return ModelMetadata(
            name=name,
            versions=answering if version is None else (version,),
            inputs=model.signature.inputs,
            outputs=model.signature.outputs,
            properties=properties,
        )

    def index(self) -> tuple[VersionEntry, ...]:
        """Every version of every model and its state."""
        return self._registry.entries()

    def model_config(self, name: str, version: int | None = None) -> Any:
        """The configuration that a model is served with, as a ``ModelConfig`` message.

        Raises:
            ModelUnknown: no model has that name.
            VersionUnknown: the model has no such version.
            ModelNotReady: it cannot answer now.
        """
        model = self._registry.find(name, version)
        return config_of(name, model.signature, written=model.config)

    def statistics(
        self, name: str | None = None, version: int | None = None
    ) -> tuple[tuple[ServedModel, Statistics], ...]:
        """The statistics of every version that answers, of all models or of one.

        Raises:
            ModelUnknown: no model has that name.
            VersionUnknown: the model has no such version.
            ModelNotReady: it cannot answer now.
        """
        if name is None:
            entries = self._registry.entries()
        elif version is None:
            self._registry.find(name)
            entries = self._registry.versions(name)
        else:
            found = self._registry.find(name, version)
            return ((found, found.recorder.statistics),)
        return tuple(
            (entry.model, entry.model.recorder.statistics)
            for entry in entries
            if entry.state is State.READY and entry.model is not None
        )

    async def infer(self, model: ServedModel, request: InferenceRequest) -> InferenceReply:
        """Compute a request that was checked against the model's signature.

        Raises:
            InferenceRefused: the model cannot compute these values.
            Overloaded: too many requests wait already.
        """
        begun = model.recorder.begin()
        try:
            computed = await model.runner.run(request.inputs, request.outputs)
        except BaseException:  # also where the client has gone
            model.recorder.fail(begun)
            raise
        model.recorder.succeed(begun, computed.times)
        arrays = computed.outputs
        if self._canary is not None:
            self._canary.offer(model.consistency, request.inputs, arrays)
        return InferenceReply(
            model_name=model.name,
            model_version=model.version,
            id=request.id,
            outputs=tuple(_output(model, request, name, arrays[name]) for name in request.outputs),
        )


def _output(
    model: ServedModel, request: InferenceRequest, name: str, array: np.ndarray
) -> OutputTensor:
    spec = model.signature.output(name)
    if name not in request.classes:
        return OutputTensor(spec, array)
    ranked = classify(array, request.classes[name], labels=model.labels.get(name, ()))
    return OutputTensor(TensorSpec(name=name, datatype=Datatype.BYTES, shape=ranked.shape), ranked)


def _state(entry: VersionEntry) -> str:
    reason = f" ({entry.reason})" if entry.reason else ""
    return f"{entry.name} version {entry.version} is {entry.state}{reason}"
