"""Names and types of tensors: what the protocol, ONNX and numpy call the same thing.

Source: "Tensor Data Types" of https://github.com/kserve/open-inference-protocol; BF16 as in Triton.
"""

from enum import StrEnum

import ml_dtypes
import numpy as np
import onnx
from pydantic import BaseModel, ConfigDict

from bundle.errors import UnsupportedDatatype

__all__ = ["UNNAMED", "Datatype", "TensorSpec"]

UNNAMED = "?"
"""The name of a dynamic dimension that has none in the file."""


class Datatype(StrEnum):
    """An element type by its name in the Open Inference Protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The dtype of an array of it; BYTES is ``object`` (each element ``bytes``)."""
        return _NUMPY[self]

    @property
    def onnx(self) -> int:
        """The ``onnx.TensorProto`` code."""
        return _ONNX[self]

    @property
    def itemsize(self) -> int | None:
        """Bytes an element, or ``None`` for BYTES, whose elements have each their own length."""
        return None if self is Datatype.BYTES else self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        """Whether results of this type carry rounding errors (all others are exact)."""
        return self in _FLOATS

    @classmethod
    def from_onnx(cls, code: int) -> "Datatype":
        """The type of an ``onnx.TensorProto`` code.

        Raises:
            UnsupportedDatatype: the protocol has no name for it (complex, 4-bit, 8-bit floats …).
        """
        try:
            return _FROM_ONNX[code]
        except KeyError:
            known = onnx.TensorProto.DataType.Name
            name = known(code) if code in onnx.TensorProto.DataType.values() else str(code)
            raise UnsupportedDatatype(
                f"ONNX element type {name} has no name in the inference protocol;"
                f" it has {', '.join(cls)}."
            ) from None

    @classmethod
    def from_numpy(cls, dtype: np.dtype[np.generic]) -> "Datatype":
        """The type of a numpy dtype; ``object``, ``bytes`` and ``str`` arrays are BYTES.

        Raises:
            UnsupportedDatatype: the protocol has no name for it.
        """
        if dtype.kind in "OSU":
            return cls.BYTES
        if (known := _FROM_NUMPY.get(dtype)) is not None:
            return known
        try:
            return _FROM_NUMPY[dtype.newbyteorder("=")]
        except KeyError:
            raise UnsupportedDatatype(
                f"numpy dtype {dtype} has no name in the inference protocol;"
                f" it has {', '.join(cls)}."
            ) from None


_NUMPY: dict[Datatype, np.dtype[np.generic]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.BF16: np.dtype(ml_dtypes.bfloat16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(np.object_),
}
_ONNX: dict[Datatype, int] = {
    Datatype.BOOL: onnx.TensorProto.BOOL,
    Datatype.UINT8: onnx.TensorProto.UINT8,
    Datatype.UINT16: onnx.TensorProto.UINT16,
    Datatype.UINT32: onnx.TensorProto.UINT32,
    Datatype.UINT64: onnx.TensorProto.UINT64,
    Datatype.INT8: onnx.TensorProto.INT8,
    Datatype.INT16: onnx.TensorProto.INT16,
    Datatype.INT32: onnx.TensorProto.INT32,
    Datatype.INT64: onnx.TensorProto.INT64,
    Datatype.FP16: onnx.TensorProto.FLOAT16,
    Datatype.BF16: onnx.TensorProto.BFLOAT16,
    Datatype.FP32: onnx.TensorProto.FLOAT,
    Datatype.FP64: onnx.TensorProto.DOUBLE,
    Datatype.BYTES: onnx.TensorProto.STRING,
}
_FROM_ONNX = {code: datatype for datatype, code in _ONNX.items()}
_FROM_NUMPY = {dtype: datatype for datatype, dtype in _NUMPY.items()}
_FLOATS = frozenset({Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64})


class TensorSpec(BaseModel):
    """One input or output of a model.

    Attributes:
        name: as the ONNX graph has it.
        datatype: of its elements.
        shape: an integer for a fixed dimension, a name for a dynamic one (``"?"`` if unnamed).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    datatype: Datatype
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.datatype} ({', '.join(map(str, self.shape))})"
