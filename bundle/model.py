"""A model that runs. Not for: how it was opened, or where its tensors are while it runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bundle.errors import InputInvalid, RunFailed, RunInterrupted
from bundle.interrupt import Interrupt
from bundle.placement import Placement
from bundle.runtime import binding, said_by
from bundle.session_runs import SessionRuns
from bundle.strings import decode_elements, encode_elements
from bundle.tensors import Datatype, TensorSpec

__all__ = ["OpenModel"]


class OpenModel:
    """A model that runs. Safe to run from several threads at once.

    Attributes:
        inputs: what it takes, in the file's order (initializers left out).
        outputs: what it gives, in the file's order.
        provider: the execution provider that was asked first.
        placement: where each node runs, and what was tried first.
        lowered: the nodes that were rewritten in memory because the provider has no kernel for
            them.
    """

    def __init__(
        self,
        runs: SessionRuns,
        *,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        provider: str,
        placement: Placement,
        lowered: tuple[str, ...],
    ) -> None:
        self._runs = runs
        self.inputs = inputs
        self.outputs = outputs
        self.provider = provider
        self.placement = placement
        self.lowered = lowered
        self._input_types = {spec.name: spec.datatype for spec in self.inputs}
        self._output_types = {spec.name: spec.datatype for spec in self.outputs}

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        interrupt: Interrupt | None = None,
    ) -> dict[str, np.ndarray]:
        """Run the model once.

        Args:
            feeds: an array for each input, in its `Datatype.numpy` dtype.
            outputs: the names of the outputs that are wanted; all when left out or empty.
            interrupt: ends this run from another thread; for one run only.

        Returns:
            The wanted outputs by name, in their `Datatype.numpy` dtypes.

        Raises:
            InputInvalid: an input is missing, unknown or of another type, or the model cannot
                compute its shape or values.
            RunInterrupted: the run was ended.
            RunFailed: the model failed for a reason that is not its input.
        """
        self._check(feeds)
        wanted = list(outputs or self._output_types)
        arrays, escaped = self._to_runtime(feeds)
        try:
            results = self._runs.run(arrays, wanted, interrupt.options if interrupt else None)
        except (binding.InvalidArgument, binding.Fail, binding.RuntimeException) as err:
            message = said_by(err)
            if interrupt is not None and interrupt.is_set:
                raise RunInterrupted("the run was ended before it was over.") from err
            if isinstance(err, binding.RuntimeException) or "allocate memory" in message:
                raise RunFailed(f"the model failed while it ran: {message}") from err
            # kernels report a shape or an index that does not fit as one of the other two
            raise InputInvalid(f"the model cannot compute this input: {message}") from err
        except binding.EPFail as err:
            raise RunFailed(f"the execution provider failed: {said_by(err)}") from err
        return {
            name: self._from_runtime(name, result, escaped=escaped)
            for name, result in zip(wanted, results, strict=True)
        }

    def _check(self, feeds: Mapping[str, np.ndarray]) -> None:
        if feeds.keys() != self._input_types.keys():
            raise InputInvalid(
                f"got the inputs {_quoted(feeds)}; the model wants {_quoted(self._input_types)}."
            )
        for name, array in feeds.items():
            wanted, got = self._input_types[name], Datatype.from_numpy(array.dtype)
            if got != wanted:
                raise InputInvalid(f"input '{name}' is {got}; the model wants {wanted}.")

    def _to_runtime(self, feeds: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], bool]:
        strings = [name for name in feeds if self._input_types[name] is Datatype.BYTES]
        if not strings:
            return dict(feeds), False
        decoded, escaped = decode_elements(feeds[name] for name in strings)
        return {**feeds, **dict(zip(strings, decoded, strict=True))}, escaped

    def _from_runtime(self, name: str, result: Any, *, escaped: bool) -> np.ndarray:
        array = np.asarray(result)
        if self._output_types[name] is Datatype.BYTES:
            return encode_elements(array, escaped=escaped)
        return array


def _quoted(names: Mapping[str, object]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
