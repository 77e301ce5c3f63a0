"""Runs that are recorded once and then played again: CUDA graphs. Decides not when they are used.

Played again, a run costs one launch instead of one for each kernel, and reads and writes the same
places in the device's memory. ONNX Runtime keeps a recording for the thread that made it, so one
thread makes and plays them all:
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-preview
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bundle.device_runs import GRAPH_ID, Device, DeviceRuns
from bundle.runtime import onnxruntime
from bundle.tensors import TensorSpec

__all__ = ["RecordedRuns", "has_fixed_shapes"]

_NONE: Final = "-1"
_Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Recording:
    """One run with its places on the device."""

    number: int
    binding: onnxruntime.IOBinding
    inputs: Mapping[str, onnxruntime.OrtValue]
    outputs: tuple[str, ...]


class RecordedRuns:
    """Runs a session, each set of input shapes from a recording; a `SessionRuns`.

    The first shapes that come are recorded: those that a model is warmed with. Others run as ever.

    Args:
        session: opened with ``enable_cuda_graph``; every shape follows from those of the inputs.
        device: where.
        outputs: of the session, all of them.
        most: sets of shapes that are recorded.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        device: Device,
        *,
        outputs: Sequence[str],
        most: int,
    ) -> None:
        self._session = session
        self._device = device
        self._outputs = tuple(outputs)
        self._most = most
        self._unrecorded = DeviceRuns(session, device, config={GRAPH_ID: _NONE})
        self._recordings: dict[_Shapes, _Recording] = {}
        self._player = ThreadPoolExecutor(1, thread_name_prefix="recorded")

    @property
    def recorded(self) -> int:
        """Sets of shapes that were recorded."""
        return len(self._recordings)

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions | None,
    ) -> Sequence[Any]:
        """See `SessionRuns`."""
        return self._player.submit(self._run, feeds, wanted, options).result()

    def _run(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions | None,
    ) -> Sequence[Any]:
        shapes = tuple(sorted((name, array.shape) for name, array in feeds.items()))
        recording = self._recordings.get(shapes)
        if recording is None:
            is_empty = any(not array.size for array in feeds.values())
            if is_empty or len(self._recordings) == self._most:
                return self._unrecorded.run(feeds, wanted, options)
            recording = self._record(feeds)
            self._recordings[shapes] = recording
        try:
            results = self._play(recording, feeds, options)
        except RuntimeError:  # as in `DeviceRuns`
            return self._unrecorded.run(feeds, wanted, options)
        return [results[name] for name in wanted]

    def _record(self, feeds: Mapping[str, np.ndarray]) -> _Recording:
        """Find places for everything; the first time that it is played it is recorded."""
        computed = self._unrecorded.run(feeds, self._outputs, None)
        binding = self._session.io_binding()
        inputs = {name: self._place(array) for name, array in feeds.items()}
        for name, place in inputs.items():
            binding.bind_ortvalue_input(name, place)
        for name, array in zip(self._outputs, computed, strict=True):
            binding.bind_ortvalue_output(name, self._place(array))
        return _Recording(len(self._recordings) + 1, binding, inputs, self._outputs)

    def _place(self, array: np.ndarray) -> onnxruntime.OrtValue:
        kind, number = self._device.kind, self._device.number
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            array.shape, array.dtype, kind, number
        )

    def _play(
        self,
        recording: _Recording,
        feeds: Mapping[str, np.ndarray],
        options: onnxruntime.RunOptions | None,
    ) -> dict[str, Any]:
        for name, array in feeds.items():
            recording.inputs[name].update_inplace(np.asarray(array, order="C"))
        options = options or onnxruntime.RunOptions()
        options.add_run_config_entry(GRAPH_ID, str(recording.number))
        recording.binding.synchronize_inputs()
        self._session.run_with_iobinding(recording.binding, options)
        recording.binding.synchronize_outputs()
        computed = recording.binding.copy_outputs_to_cpu()
        return dict(zip(recording.outputs, computed, strict=True))


def has_fixed_shapes(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Whether every size is fixed, but for that of the batch, which is axis 0."""
    batches = {spec.shape[0] for spec in inputs if spec.shape and isinstance(spec.shape[0], str)}
    sizes = (size for spec in (*inputs, *outputs) for size in spec.shape[1:])
    firsts = (spec.shape[0] for spec in outputs if spec.shape)
    return (
        all(isinstance(size, int) for size in sizes)
        and len(batches) <= 1
        and all(isinstance(first, int) or first in batches for first in firsts)
    )
