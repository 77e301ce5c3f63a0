"""The tensors of a session, as ONNX Runtime tells them, in the protocol's terms. Runs nothing."""

from collections.abc import Sequence
from typing import Any, Final

from bundle.errors import ModelInvalid
from bundle.tensors import UNNAMED, Datatype, TensorSpec

__all__ = ["tensors_of"]

_RUNTIME_TYPES: Final = {
    "bool": Datatype.BOOL,
    "uint8": Datatype.UINT8,
    "uint16": Datatype.UINT16,
    "uint32": Datatype.UINT32,
    "uint64": Datatype.UINT64,
    "int8": Datatype.INT8,
    "int16": Datatype.INT16,
    "int32": Datatype.INT32,
    "int64": Datatype.INT64,
    "float16": Datatype.FP16,
    "bfloat16": Datatype.BF16,
    "float": Datatype.FP32,
    "double": Datatype.FP64,
    "string": Datatype.BYTES,
}


def tensors_of(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """The tensors that a session names as its inputs, or its outputs.

    Raises:
        ModelInvalid: one is no dense tensor, or of a type that the protocol has no name for.
    """
    return tuple(
        TensorSpec(name=value.name, datatype=_datatype(value), shape=_shape(value.shape))
        for value in values
    )


def _shape(dimensions: Sequence[int | str | None]) -> tuple[int | str, ...]:
    # ONNX Runtime invents names such as "unk__0" for dimensions that have none
    return tuple(
        UNNAMED if dim is None or (isinstance(dim, str) and dim.startswith("unk__")) else dim
        for dim in dimensions
    )


def _datatype(value: Any) -> Datatype:
    element = value.type.removeprefix("tensor(").removesuffix(")")
    try:
        return _RUNTIME_TYPES[element]
    except KeyError:
        raise ModelInvalid(
            f"'{value.name}' is a {value.type}; only dense tensors of the protocol's types"
            f" ({', '.join(Datatype)}) can be served."
        ) from None
