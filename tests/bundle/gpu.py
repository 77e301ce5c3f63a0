"""A GPU that is none: sessions on the CPU that say they are elsewhere."""

import numpy as np
import onnxruntime

from bundle.providers import CPU, CUDA, TENSORRT

__all__ = ["Gpu", "Outcome"]

_RECORDS = "enable_cuda_graph"
_Session = onnxruntime.InferenceSession


class Outcome:
    """How a provider's start ends."""

    STARTS = "starts"
    FALLS_BACK = "falls back"  # as ONNX Runtime does where a library is missing
    REFUSES = "refuses"  # the model


class Gpu:
    """ONNX Runtime as it would be on a machine with a GPU.

    Args:
        outcomes: of starting a provider; those that are left out are not part of this build.
        light: operators that the GPU leaves to the CPU.

    Attributes:
        sessions: the providers, with their options, of each session that was asked for.
        fallbacks: whether each of them was allowed to fall back by itself.
        recordings: which one each run was of, in sessions that record.
        kinds: the devices that tensors were bound to.
        rows: of each input that was bound.
    """

    def __init__(self, outcomes, *, light=()):
        self.outcomes = outcomes
        self.light = frozenset(light)
        self.sessions = []
        self.fallbacks = []
        self.recordings = []
        self.kinds = set()
        self.rows = []

    def get_available_providers(self):
        return [*self.outcomes, CPU]

    def install(self, monkeypatch):
        """Let it be found by whoever asks ONNX Runtime."""
        monkeypatch.setattr(onnxruntime, "get_available_providers", self.get_available_providers)
        monkeypatch.setattr(onnxruntime, "InferenceSession", self.session)
        monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", self.place)

    def place(self, shape, element, kind, number):
        """A tensor on a device."""
        self.kinds.add((kind, number))
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(shape, element))

    def session(self, content, options, *, providers, enable_fallback=1):
        """What stands in for ``onnxruntime.InferenceSession``."""
        self.sessions.append(dict(providers))
        self.fallbacks.append(enable_fallback)
        names = [name for name, _ in providers]
        outcome = self.outcomes.get(names[0], Outcome.STARTS)
        if outcome == Outcome.REFUSES:
            raise RuntimeError(f"{names[0]} cannot compile this")
        if outcome == Outcome.FALLS_BACK:
            names = [name for name in names[1:] if name not in (CUDA, TENSORRT)]
        return _Pretender(self, content, options, names, records=_RECORDS in str(providers))


class _Pretender(_Session):
    def __init__(self, gpu, content, options, names, *, records):
        super().__init__(content, options, providers=[CPU])
        self.gpu = gpu
        self.names = names
        self.records = records

    def get_providers(self):
        return self.names

    def get_provider_graph_assignment_info(self):
        return [
            _Part(CPU if node.op_type in self.gpu.light else self.names[0], [node])
            for part in super().get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]

    def io_binding(self):
        return _Binding(self)

    def run_with_iobinding(self, iobinding, run_options=None):
        if self.records:
            self.gpu.recordings.append(run_options.get_run_config_entry("gpu_graph_id"))
        super().run_with_iobinding(iobinding, run_options)


class _Part:
    def __init__(self, ep_name, nodes):
        self.ep_name = ep_name
        self.nodes = nodes

    def get_nodes(self):
        return self.nodes


class _Binding(onnxruntime.IOBinding):
    def __init__(self, session):
        super().__init__(session)
        self.gpu = session.gpu

    def bind_ortvalue_input(self, name, ortvalue):
        self.gpu.rows += ortvalue.shape()[:1]
        super().bind_ortvalue_input(name, ortvalue)

    def bind_output(self, name, device_type="cpu", device_id=0):
        self.gpu.kinds.add((device_type, device_id))
        super().bind_output(name)
