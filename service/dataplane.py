"""What every transport asks: is it alive, is it ready, what is there, compute this.

Knows no wire format and no status: a transport decodes, asks here, and encodes.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from bundle.tensors import Datatype, TensorSpec
from service.classification import classify
from service.consistency import Canary
from service.errors import ModelNotReady
from service.inference import InferenceReply, InferenceRequest, OutputTensor, Parameter
from service.log_settings import LogControl, LogSettings
from service.model_config import config_of
from service.provenance import provenance_of, wants_provenance
from service.registry import Registry, ServedModel, State, VersionEntry
from service.runner import Computed
from service.shared_memory import Regions, claim
from service.statistics import Passage, Statistics
from service.trace_control import TraceControl
from service.tracing import TraceSettings
from service.tracing.current import answering, asking

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
        provenance: whether replies say how they came about where the request does not say.
        regions: of shared memory; off where they are left out.
        traces: which requests are traced; none where it is left out.
        logs: what is logged; no log of ours where it is left out.

    Attributes:
        regions: as given.
        traces: the way to the trace settings.
        logs: as given.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        strict_readiness: bool,
        canary: Canary | None = None,
        provenance: bool = False,
        regions: Regions | None = None,
        traces: TraceSettings | None = None,
        logs: LogControl | None = None,
    ) -> None:
        self.regions = Regions(is_open=False) if regions is None else regions
        self.traces = TraceControl(registry, traces or TraceSettings(is_possible=False))
        self.logs = logs or LogControl(LogSettings())
        self._registry = registry
        self._canary = canary
        self._provenance = provenance
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
        asking(name)
        found = self._registry.find(name, version)
        answering(model=found.name, version=found.version)
        return found

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

    async def infer(
        self, model: ServedModel, request: InferenceRequest, passage: Passage | None = None
    ) -> InferenceReply:
        """Compute a request that was checked against the model's signature.

        Args:
            model: that answers it.
            request: what is asked.
            passage: of the request, where its transport began one (``model.recorder.begin()``)
                before it decoded; without one, what is counted begins and ends here.

        Raises:
            InferenceRefused: the model cannot compute these values.
            Overloaded: too many requests wait already.
            TimeoutExpired: the time that the request gives itself was over.
            EngineFailed: what computes the model is not there.
            RequestQuarantined: what computes the model did not survive these values, twice.
            ParameterInvalid: a parameter that is the data plane's own has the wrong type.
            RegionUnknown: a tensor is in a shared memory region that is not registered.
            RegionInvalid: the region does not have the tensor, or no room for it.
        """
        if passage is None:
            with model.recorder.begin() as own:
                return await self.infer(model, request, own)
        if request.is_shared:
            return await self._infer_shared(model, request, passage)
        computed = await self.begin(model, request, passage)
        return self.finish(model, request, passage, computed)

    def begin(
        self, model: ServedModel, request: InferenceRequest, passage: Passage
    ) -> asyncio.Future[Computed]:
        """The first half of `infer`, for a request without shared memory: begin to compute.

        Returns:
            For `finish`. To cancel it says that nobody waits any more.

        Raises:
            ParameterInvalid: as `infer`.
            Overloaded: as `infer`.
            EngineFailed: as `infer`, which the future may be, too.
            RequestQuarantined: as `infer`, which the future may be, too.
        """
        wants_provenance(request.parameters, by_default=False)  # refused before it is computed
        passage.decoded()
        parameters = request.parameters
        return model.runner.submit(
            request.inputs,
            request.outputs,
            priority=_number(parameters.get("priority")),
            timeout_us=_number(parameters.get("timeout")),
        )

    def finish(
        self, model: ServedModel, request: InferenceRequest, passage: Passage, computed: Computed
    ) -> InferenceReply:
        """The second half: the reply to what was computed."""
        is_told = wants_provenance(request.parameters, by_default=self._provenance)
        rows = model.signature.rows(request.inputs)
        times = computed.times
        passage.computed(times, rows=rows, inferences=rows if model.has_batch else 1)
        arrays = computed.outputs
        if self._canary is not None:
            self._canary.offer(model.consistency, request.inputs, arrays)
        return InferenceReply(
            model_name=model.name,
            model_version=model.version,
            id=request.id,
            outputs=tuple(_output(model, request, name, arrays[name]) for name in request.outputs),
            parameters=provenance_of(model, times, rows=rows) if is_told else {},
        )

    async def _infer_shared(
        self, model: ServedModel, request: InferenceRequest, passage: Passage
    ) -> InferenceReply:
        """Compute a request with tensors in shared memory: read before, written after."""
        shared = claim(self.regions, request)
        inputs = {**request.inputs, **await shared.read()}
        travelling = replace(request, inputs=inputs, shared_inputs={}, shared_outputs={})
        reply = await self.infer(model, travelling, passage)
        return replace(reply, outputs=await shared.write(reply.outputs))


def _number(value: Parameter | None) -> int:
    """A parameter that was checked to be a number, if it is there."""
    return value if isinstance(value, int) else 0


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
