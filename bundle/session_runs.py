"""Runs of a session whose tensors are in the host's memory. Checks nothing, knows no errors."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bundle.runtime import onnxruntime
from bundle.values import to_array, to_value

__all__ = ["HostRuns", "SessionRuns", "ValueRuns"]


class SessionRuns(Protocol):
    """Runs a session; from several threads at once."""

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions | None,
    ) -> Sequence[Any]:
        """The wanted outputs, in their order; raises what ONNX Runtime raises."""
        ...


class HostRuns:
    """As ``InferenceSession.run`` does: ONNX Runtime copies to a device and back if need be."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions | None,
    ) -> Sequence[Any]:
        """See `SessionRuns`."""
        result: list[Any] = self._session.run(wanted, feeds, options)
        return result


class ValueRuns:
    """The same with tensors of bfloat16 among them."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        options: onnxruntime.RunOptions | None,
    ) -> Sequence[Any]:
        """See `SessionRuns`."""
        values = {name: to_value(array) for name, array in feeds.items()}
        outputs = self._session.run_with_ort_values(wanted, values, options)
        return [to_array(value) for value in outputs]
