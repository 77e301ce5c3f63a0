"""Tensors as bytes: little-endian, row-major, without padding. Knows nothing of requests.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md.
A BOOL is one byte, 0 or 1. A BYTES element is its length as a little-endian uint32, then its bytes.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np

from bundle.tensors import Datatype
from service.errors import TensorInvalid, excerpt

__all__ = ["array_from_bytes", "bytes_from_array"]

_LENGTH = struct.Struct("<I")


def array_from_bytes(
    blob: memoryview, *, name: str, datatype: Datatype, shape: tuple[int, ...]
) -> np.ndarray:
    """The array that the bytes are.

    Args:
        blob: exactly the tensor's bytes.
        name: the input's, for messages.
        datatype: the datatype that the request declares.
        shape: the shape that the request declares; each dimension is at least 0.

    Returns:
        An array of that dtype and shape. It shares the blob's memory, and is read-only, unless
        the blob lies at an address that the dtype cannot be read from, or is BYTES.

    Raises:
        TensorInvalid: the number of bytes is not what the shape wants, a BOOL is neither 0 nor 1,
            or the lengths of BYTES elements do not add up.
    """
    count = math.prod(shape)
    if datatype.itemsize is None:
        elements = np.empty(_plausible_count(blob, name=name, count=count), dtype=object)
        elements[:] = list(_elements(blob, name=name, count=count))
        return elements.reshape(shape)
    if len(blob) != count * datatype.itemsize:
        raise TensorInvalid(
            f"input {excerpt(name)} has {len(blob)} bytes of binary data; {datatype} of shape"
            f" {excerpt(shape)} wants {count * datatype.itemsize}"
        )
    if datatype is Datatype.BOOL and (np.frombuffer(blob, dtype=np.uint8) > 1).any():
        raise TensorInvalid(f"input {excerpt(name)} is BOOL and has a byte other than 0 and 1")
    little_endian = datatype.numpy.newbyteorder("<")
    array = np.frombuffer(blob, dtype=little_endian).astype(datatype.numpy, copy=False)
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def bytes_from_array(array: np.ndarray, *, datatype: Datatype) -> bytes | memoryview:
    """The bytes of an array; they share its memory where they can."""
    if datatype is Datatype.BYTES:
        return b"".join(
            part for element in array.flat for part in (_LENGTH.pack(len(element)), element)
        )
    dtype = datatype.numpy.newbyteorder("<")
    flat = np.ascontiguousarray(array, dtype=dtype).reshape(-1)
    return flat.view(np.uint8).data


def _plausible_count(blob: memoryview, *, name: str, count: int) -> int:
    # before anything is allocated: each element takes at least the bytes of its length
    if count * _LENGTH.size > len(blob):
        raise TensorInvalid(
            f"input {excerpt(name)} has {len(blob)} bytes of binary data, too few for {count}"
            " BYTES elements"
        )
    return count


def _elements(blob: memoryview, *, name: str, count: int) -> Iterator[bytes]:
    position = 0
    for index in range(count):
        start = position + _LENGTH.size
        if start > len(blob):
            raise TensorInvalid(
                f"the binary data of input {excerpt(name)} end after {index} of {count} elements"
            )
        (length,) = _LENGTH.unpack_from(blob, position)
        position = start + length
        if position > len(blob):
            raise TensorInvalid(
                f"element {index} of input {excerpt(name)} says it has {length} bytes;"
                f" {len(blob) - start} are left"
            )
        yield bytes(blob[start:position])
    if position != len(blob):
        raise TensorInvalid(
            f"the binary data of input {excerpt(name)} go on for {len(blob) - position} bytes"
            f" after its {count} elements"
        )
