"""One session of ONNX Runtime on the providers it was asked for, or an error. Changes no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bundle.device_runs import Device, DeviceRuns
from bundle.errors import ModelInvalid, ProviderUnavailable
from bundle.page_lock import cuda_driver
from bundle.placement import NodePlacement, Placement
from bundle.policy import CUDA, DEVICE_MEMORY
from bundle.provider_options import RECORDING
from bundle.providers import Provider
from bundle.recorded_runs import RecordedRuns, has_fixed_shapes
from bundle.runtime import binding, onnxruntime, said_by
from bundle.session_runs import HostRuns, SessionRuns, ValueRuns
from bundle.session_tensors import tensors_of
from bundle.tensors import Datatype, TensorSpec

__all__ = ["Session"]

_OPEN_ERRORS: Final = (
    RuntimeError,  # of a provider's own library
    ValueError,  # of its options
    binding.EPFail,
    binding.Fail,
    binding.InvalidArgument,
    binding.InvalidGraph,
    binding.InvalidProtobuf,
    binding.NoSuchFile,
    binding.NotImplemented,
    binding.RuntimeException,
)
_CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan"})
_MOST_RECORDINGS: Final = 16
"""Of a session: one for each size of batch that the service warms, and those of golden samples."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session, and what it was started with.

    Attributes:
        content: the model: its file, or its bytes.
        options: of the session; they ask that the placement be recorded.
        providers: the first of them runs what it can.
        where: the model, in messages.
        session: ONNX Runtime's.
    """

    content: str | bytes
    options: onnxruntime.SessionOptions
    providers: tuple[Provider, ...]
    where: str
    session: onnxruntime.InferenceSession

    @classmethod
    def start(
        cls,
        content: str | bytes,
        options: onnxruntime.SessionOptions,
        providers: Sequence[Provider],
        *,
        where: str,
    ) -> "Session":
        """Start one.

        Raises:
            ModelInvalid: ONNX Runtime, or the first provider, refuses the model.
            ProviderUnavailable: the first provider does not start.
        """
        try:
            session = onnxruntime.InferenceSession(
                content,
                options,
                providers=list(providers),
                # else a provider that fails, here or in a run, is replaced by the CPU in silence
                enable_fallback=0,
            )
        except _OPEN_ERRORS as err:
            raise ModelInvalid(f"ONNX Runtime refuses {where}: {said_by(err)}") from err
        _require_started(session, providers[0][0])
        return cls(
            content=content,
            options=options,
            providers=tuple(providers),
            where=where,
            session=session,
        )

    def recorded(self) -> "Session":
        """The same again, with recorded runs."""
        (name, options), *behind = self.providers
        providers = [(name, {**options, **RECORDING}), *behind]
        return Session.start(self.content, self.options, providers, where=self.where)

    @property
    def provider(self) -> str:
        """The first provider's name."""
        return self.providers[0][0]

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes; `ModelInvalid` where the protocol has no name for a type."""
        return tensors_of(self.session.get_inputs())

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives; as above."""
        return tensors_of(self.session.get_outputs())

    @cached_property
    def placement(self) -> Placement:
        """Where its nodes run."""
        return Placement(
            tuple(
                NodePlacement(node.name, node.op_type, part.ep_name)
                for part in self.session.get_provider_graph_assignment_info()
                for node in part.get_nodes()
            )
        )

    @property
    def can_be_recorded(self) -> bool:
        """Whether CUDA may record runs: it has every node, and only the batch's size may change."""
        return (
            self.provider == CUDA
            and not self.placement.elsewhere(CUDA)
            and not any(node.op_type in _CONTROL_FLOW for node in self.placement.nodes)
            and not self._types & {Datatype.BF16, Datatype.BYTES}
            and has_fixed_shapes(self.inputs, self.outputs)
        )

    def runs(self) -> SessionRuns:
        """What runs it, by what its tensors are and where they are needed."""
        if Datatype.BF16 in self._types:
            return ValueRuns(self.session)
        if self.provider not in DEVICE_MEMORY or Datatype.BYTES in self._types:
            return HostRuns(self.session)
        device = Device(DEVICE_MEMORY[self.provider], driver=cuda_driver())
        if RECORDING.items() <= self.providers[0][1].items():
            outputs = [spec.name for spec in self.outputs]
            return RecordedRuns(self.session, device, outputs=outputs, most=_MOST_RECORDINGS)
        return DeviceRuns(self.session, device)

    @property
    def _types(self) -> set[Datatype]:
        return {spec.datatype for spec in (*self.inputs, *self.outputs)}


def _require_started(session: onnxruntime.InferenceSession, wanted: str) -> None:
    got = session.get_providers()[0]
    if got != wanted:
        raise ProviderUnavailable(
            f"{wanted} is installed but did not start, and ONNX Runtime would take {got}; check"
            " its driver and libraries (CUDA, cuDNN, TensorRT), or choose provider policy 'cpu'."
        )
