"""The values of one inference, between any transport and any runner. Knows no wire format.

Arrays have the dtypes of `bundle.tensors.Datatype.numpy`; BYTES is ``object``, each element
``bytes``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bundle.tensors import Datatype, TensorSpec

__all__ = [
    "InferenceReply",
    "InferenceRequest",
    "OutputTensor",
    "Parameter",
    "Placement",
    "SharedInput",
]

Parameter = str | int | float | bool
"""What the value of a protocol parameter may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a tensor is, or goes to, in memory that the client shares with the server.

    Attributes:
        region: the client's name for it.
        offset: bytes from the region's beginning.
        byte_size: that the tensor has, or may have.
    """

    region: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedInput:
    """An input that was checked against the model's signature and is still in shared memory."""

    datatype: Datatype
    shape: tuple[int, ...]
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceRequest:
    """A request whose tensors were checked against the model's signature.

    Attributes:
        id: the client's own name for it, echoed exactly; ``None`` when it gave none.
        parameters: of the request as a whole, each of a type that the protocol allows.
        inputs: one array for each input of the model that is not in shared memory.
        outputs: the names wanted, in the model's order.
        classes: how many of the largest values to give in place of an output, by its name.
        shared_inputs: the inputs that are in shared memory, by name.
        shared_outputs: where outputs go that are to be in shared memory, by name.
    """

    id: str | None
    parameters: Mapping[str, Parameter]
    inputs: Mapping[str, np.ndarray]
    outputs: tuple[str, ...]
    classes: Mapping[str, int] = field(default_factory=dict)
    shared_inputs: Mapping[str, SharedInput] = field(default_factory=dict)
    shared_outputs: Mapping[str, Placement] = field(default_factory=dict)

    @property
    def is_shared(self) -> bool:
        """Whether a tensor of it is in shared memory."""
        return bool(self.shared_inputs or self.shared_outputs)


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One computed output.

    Attributes:
        spec: what the model declares, or BYTES where it is the classes.
        array: the values.
        placement: where in shared memory they are; ``None`` where they go with the reply.
    """

    spec: TensorSpec
    array: np.ndarray
    placement: Placement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceReply:
    """What the model answered.

    Attributes:
        model_name: of the model that computed it.
        model_version: the version that really computed it, whatever the request left open.
        id: the request's.
        outputs: in the model's order.
        parameters: what else the reply says; mostly nothing.
    """

    model_name: str
    model_version: int
    id: str | None
    outputs: tuple[OutputTensor, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
