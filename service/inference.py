"""The values of one inference, between any transport and any runner. Knows no wire format.

Arrays have the dtypes of `bundle.tensors.Datatype.numpy`; BYTES is ``object``, each element
``bytes``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bundle.tensors import TensorSpec

__all__ = ["InferenceReply", "InferenceRequest", "OutputTensor", "Parameter"]

Parameter = str | int | float | bool
"""What the value of a protocol parameter may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceRequest:
    """A request whose tensors were checked against the model's signature.

    Attributes:
        id: the client's own name for it, echoed exactly; ``None`` when it gave none.
        parameters: of the request as a whole, each of a type that the protocol allows.
        inputs: one array for each input of the model.
        outputs: the names wanted, in the model's order.
        classes: how many of the largest values to give in place of an output, by its name.
    """

    id: str | None
    parameters: Mapping[str, Parameter]
    inputs: Mapping[str, np.ndarray]
    outputs: tuple[str, ...]
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One computed output: what the model declares, and the values; or its classes, as BYTES."""

    spec: TensorSpec
    array: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceReply:
    """What the model answered.

    Attributes:
        model_name: of the model that computed it.
        model_version: the version that really computed it, whatever the request left open.
        id: the request's.
        outputs: in the model's order.
    """

    model_name: str
    model_version: int
    id: str | None
    outputs: tuple[OutputTensor, ...]
