"""The tensors of one request that are in shared memory: read before it runs, written after.

Inputs are copied: what a model computes with, and what a check has seen, does not change under it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.codec.binary_tensors import array_from_bytes, bytes_from_array
from service.errors import BodyTooLarge
from service.inference import InferenceRequest, OutputTensor, SharedInput
from service.shared_memory.regions import Regions, Stretch

__all__ = ["SharedTensors", "claim"]

_QUICK_BYTES = 1 << 18
"""Bytes that are copied in less time than handing them to another thread and back takes."""


@dataclass(frozen=True, slots=True)
class SharedTensors:
    """What one request reads and writes; regions that are unregistered meanwhile stay for it.

    Attributes:
        inputs: and where they are, by name.
        outputs: where they go, by name.
    """

    inputs: Mapping[str, tuple[SharedInput, Stretch]]
    outputs: Mapping[str, Stretch]

    async def read(self) -> dict[str, np.ndarray]:
        """The inputs, copied.

        Raises:
            TensorInvalid: the bytes are not what the datatype and the shape want.
            RegionInvalid: the region does not have them any more.
        """
        if sum(stretch.placement.byte_size for _, stretch in self.inputs.values()) <= _QUICK_BYTES:
            return self._read()
        return await asyncio.to_thread(self._read)

    async def write(self, computed: Sequence[OutputTensor]) -> tuple[OutputTensor, ...]:
        """Write the outputs that go to shared memory; none if one of them does not fit.

        Args:
            computed: every output of the request.

        Returns:
            The same; those that were written say where they are.

        Raises:
            RegionInvalid: one does not fit, or the region does not have these bytes any more.
        """
        if sum(stretch.placement.byte_size for stretch in self.outputs.values()) <= _QUICK_BYTES:
            return self._write(computed)
        return await asyncio.to_thread(self._write, computed)

    def _read(self) -> dict[str, np.ndarray]:
        return {
            name: array_from_bytes(
                stretch.read(), name=name, datatype=tensor.datatype, shape=tensor.shape
            )
            for name, (tensor, stretch) in self.inputs.items()
        }

    def _write(self, computed: Sequence[OutputTensor]) -> tuple[OutputTensor, ...]:
        contents = {
            output.spec.name: bytes_from_array(output.array, datatype=output.spec.datatype)
            for output in computed
            if output.spec.name in self.outputs
        }
        for name, content in contents.items():
            self.outputs[name].require_room(len(content))
        for name, content in contents.items():
            self.outputs[name].write(content)
        return tuple(
            replace(
                output,
                placement=replace(self.outputs[name].placement, byte_size=len(contents[name])),
            )
            if (name := output.spec.name) in contents
            else output
            for output in computed
        )


def claim(regions: Regions, request: InferenceRequest) -> SharedTensors:
    """Look up where the tensors of a request are. Reads nothing.

    Raises:
        ParameterInvalid: shared memory is off.
        RegionUnknown: there is no such region.
        RegionInvalid: a region does not have these bytes.
        BodyTooLarge: the inputs are more than a request may have.
    """
    claimed = SharedTensors(
        inputs={
            name: (tensor, regions.claim(tensor.placement))
            for name, tensor in request.shared_inputs.items()
        },
        outputs={
            name: regions.claim(placement) for name, placement in request.shared_outputs.items()
        },
    )
    byte_size = sum(tensor.placement.byte_size for tensor in request.shared_inputs.values())
    if byte_size > regions.max_request_bytes:
        raise BodyTooLarge(
            f"the inputs in shared memory have {byte_size} bytes; this server takes"
            f" {regions.max_request_bytes} in one request"
        )
    return claimed
