"""Runs of a session on a device with memory of its own. Decides not when they are used.

Inputs are laid out in page-locked memory of the thread that runs, and copied to the device from
there; outputs stay on the device until the run is over, and are then copied at once.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bundle.page_lock import Driver, PageLockedBuffer
from bundle.runtime import onnxruntime
from bundle.values import to_value

__all__ = ["GRAPH_ID", "Device", "DeviceRuns"]

GRAPH_ID: Final = "gpu_graph_id"
"""The entry of a run's options that says which recording it is; -1 is none."""
_ALIGNMENT: Final = 64
_MOST_STAGED_BYTES: Final = 64 * 2**20
"""What is larger is copied from where it lies: locked pages are lost to everybody else."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors are bound.

    Attributes:
        kind: ONNX Runtime's name for it: ``cuda``, or ``cpu``.
        driver: page-locks memory that is copied to it; None where nothing does.
        number: of the device.
    """

    kind: str
    driver: Driver | None = None
    number: int = 0


class DeviceRuns:
    """Runs a session by binding its tensors; a `SessionRuns`.

    Args:
        session: what is run; without strings and bfloat16, which cannot be bound so.
        device: where.
        config: entries of each run's options.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        device: Device,
        *,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._device = device
        self._config = dict(config or {})
        self._staging = threading.local()

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions | None,
    ) -> Sequence[Any]:
        """See `SessionRuns`."""
        options = options or onnxruntime.RunOptions()
        for key, entry in self._config.items():
            options.add_run_config_entry(key, entry)
        try:
            return self._bound(feeds, wanted, options)
        except RuntimeError:
            # a binding does not tell of which kind an error is: a plain run does, or it answers
            results: list[Any] = self._session.run(list(wanted), feeds, options)
            return results

    def _bound(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions,
    ) -> list[Any]:
        binding = self._session.io_binding()
        for name, array in self._staged(feeds).items():
            binding.bind_ortvalue_input(name, to_value(array))
        for name in wanted:
            binding.bind_output(name, self._device.kind, self._device.number)
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding, options)
        binding.synchronize_outputs()
        outputs: list[Any] = binding.copy_outputs_to_cpu()
        return outputs

    def _staged(self, feeds: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The same arrays in page-locked memory, as long as this thread runs nothing else."""
        size = sum(_aligned(array.nbytes) for array in feeds.values())
        if self._device.driver is None or not 0 < size <= _MOST_STAGED_BYTES:
            return feeds
        buffer: PageLockedBuffer | None = getattr(self._staging, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._staging.buffer = PageLockedBuffer(size, self._device.driver)
        if not buffer.is_locked:
            return feeds
        staged = {}
        start = 0
        for name, array in feeds.items():
            place = np.frombuffer(buffer.memory, array.dtype, array.size, start)
            staged[name] = place.reshape(array.shape)
            np.copyto(staged[name], array)
            start += _aligned(array.nbytes)
        return staged


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
