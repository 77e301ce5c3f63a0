"""Arrays to ONNX Runtime's values and back, without a copy where there need be none. Runs nothing.

numpy has no bfloat16 of its own: such tensors pass as their 16 bits.
"""

import ctypes

import numpy as np
import onnx

from bundle.errors import UnsupportedDatatype
from bundle.runtime import onnxruntime
from bundle.tensors import Datatype

__all__ = ["to_array", "to_value"]


def to_value(array: np.ndarray) -> onnxruntime.OrtValue:
    """A value over an array's memory, in that of the host; it keeps the array alive.

    Raises:
        UnsupportedDatatype: its elements are strings.
    """
    datatype = Datatype.from_numpy(array.dtype)
    if datatype is Datatype.BYTES:
        raise UnsupportedDatatype("a model with both BF16 and BYTES tensors cannot be run.")
    contiguous = np.asarray(array, order="C")  # keeps a scalar a scalar
    if datatype is Datatype.BF16:
        bits = contiguous.view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, datatype.onnx)
    return onnxruntime.OrtValue.ortvalue_from_numpy(contiguous)


def to_array(value: onnxruntime.OrtValue) -> np.ndarray:
    """What a value in the host's memory holds."""
    if value.element_type() != onnx.TensorProto.BFLOAT16:
        return np.asarray(value.numpy())
    shape, size = tuple(value.shape()), value.tensor_size_in_bytes()
    if not size:
        return np.empty(shape, Datatype.BF16.numpy)
    buffer = (ctypes.c_char * size).from_address(value.data_ptr())
    return np.frombuffer(buffer, Datatype.BF16.numpy).reshape(shape).copy()
