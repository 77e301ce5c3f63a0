"""Tensors as JSON arrays. Knows nothing of requests, and checks every element's kind.

Sources: Open Inference Protocol, "Tensor Data"; https://github.com/triton-inference-server/server,
docs/protocol/extension_binary_data.md for what JSON cannot carry.

`data` is flat in row-major order, or nested exactly as the shape says. Elements are what their
datatype is in JSON: ``true``/``false`` for BOOL, integers in range for the integer types, numbers
for FP32 and FP64, strings for BYTES. FP16 and BF16 have no JSON form. Non-finite values have none
either: neither NaN tokens nor numbers that overflow are taken, and none are given.
"""

import math
from itertools import chain
from typing import Any, Final

import numpy as np

from bundle.tensors import Datatype
from service.codec.numbers import Numbers, Unusual
from service.codec.text import kind
from service.errors import NotJsonRepresentable, TensorInvalid, excerpt

__all__ = ["array_from_json", "check_json_can_carry", "json_from_array"]

_HALF = frozenset({Datatype.FP16, Datatype.BF16})
_NUMBERS = frozenset({int, float})
_WANTED: dict[Datatype, tuple[frozenset[type], str]] = {
    Datatype.BOOL: (frozenset({bool}), "true or false"),
    Datatype.FP32: (_NUMBERS, "numbers"),
    Datatype.FP64: (_NUMBERS, "numbers"),
    Datatype.BYTES: (frozenset({str}), "strings"),
}
_INTEGERS = (frozenset({int}), "integers")
_LARGEST: Final = float(np.finfo(np.float32).max)
_FEW: Final = 64
"""Numbers that Python looks at in less time than NumPy takes to begin."""


def array_from_json(
    data: object, *, name: str, datatype: Datatype, shape: tuple[int, ...]
) -> np.ndarray:
    """The array that an input's ``data`` writes down.

    Args:
        data: the parsed JSON value, or the numbers that it holds.
        name: the input's, for messages.
        datatype: the datatype that the request declares.
        shape: the shape that the request declares; each dimension is at least 0.

    Returns:
        An array of exactly that dtype and shape.

    Raises:
        TensorInvalid: the data are no array, have another number of elements, are nested other
            than the shape, or an element is of the wrong kind or out of range.
        Unusual: the same, where the data are `Numbers`.
    """
    if datatype in _HALF:
        raise TensorInvalid(
            f"input {excerpt(name)} is {datatype}, which JSON cannot carry;"
            " send it as binary tensor data"
        )
    if isinstance(data, Numbers):
        return _from_numbers(data, name=name, datatype=datatype, shape=shape)
    if not isinstance(data, list):
        raise TensorInvalid(f"'data' of input {excerpt(name)} must be an array; got {kind(data)}")
    elements = _flattened(data, name=name, shape=shape)
    _check_kinds(elements, name=name, datatype=datatype)
    if datatype is Datatype.BYTES:
        array = np.empty(len(elements), dtype=object)
        array[:] = [element.encode() for element in elements]
    elif datatype is Datatype.FP32:
        doubles = np.array(elements, dtype=np.float64)
        if 0 < len(elements) <= _FEW and min(elements) >= -_LARGEST and max(elements) <= _LARGEST:
            array = doubles.astype(np.float32)
        else:
            array = _single_precision(doubles, name=name)
    else:
        try:
            array = np.array(elements, dtype=datatype.numpy)
        except OverflowError as err:
            limits = np.iinfo(datatype.lower())
            offender = next(e for e in elements if not limits.min <= e <= limits.max)
            raise TensorInvalid(
                f"input {excerpt(name)} has the element {offender};"
                f" {datatype} goes from {limits.min} to {limits.max}"
            ) from err
    return array.reshape(shape)


def check_json_can_carry(name: str, datatype: Datatype) -> None:
    """Whether an output of that datatype can be written as JSON, whatever its values.

    Raises:
        NotJsonRepresentable: it cannot.
    """
    if datatype in _HALF:
        raise NotJsonRepresentable(
            f"output {excerpt(name)} is {datatype}, which JSON cannot carry;"
            ' ask for it with the parameter "binary_data": true'
        )


def json_from_array(array: np.ndarray, *, name: str, datatype: Datatype) -> np.ndarray | list[str]:
    """An output's ``data``: flat, row-major, as ``orjson`` takes it.

    Raises:
        NotJsonRepresentable: it is half precision, holds NaN or Infinity, or bytes that are not
            UTF-8.
    """
    check_json_can_carry(name, datatype)
    flat = array.ravel()
    if datatype is Datatype.BYTES:
        try:
            return [element.decode() for element in flat]
        except UnicodeDecodeError as err:
            raise NotJsonRepresentable(
                f"output {excerpt(name)} has an element that is not UTF-8 text, and JSON cannot"
                ' carry it; ask for it with the parameter "binary_data": true'
            ) from err
    if datatype.is_float and not _is_finite(flat):
        where = np.unravel_index(int(np.argmin(np.isfinite(flat))), array.shape)
        index = ", ".join(str(int(i)) for i in where)
        raise NotJsonRepresentable(
            f"output {excerpt(name)} is {array[where]} at [{index}], and JSON has no such number;"
            ' ask for it with the parameter "binary_data": true'
        )
    return flat


def _flattened(data: list[Any], *, name: str, shape: tuple[int, ...]) -> list[Any]:
    level = data
    if level and isinstance(level[0], list):
        fits = (len(level),) == shape[:1]
        for size in shape[1:]:
            fits = fits and set(map(type, level)) <= {list} and set(map(len, level)) <= {size}
            if not fits:
                raise TensorInvalid(
                    f"'data' of input {excerpt(name)} is nested other than its shape"
                    f" {excerpt(shape)} says; nest it exactly so, or send it flat and row-major"
                )
            level = list(chain.from_iterable(level))
    count = math.prod(shape)
    if len(level) != count:
        raise TensorInvalid(
            f"'data' of input {excerpt(name)} has {len(level)} elements;"
            f" its shape {excerpt(shape)} wants {count}"
        )
    return level


def _check_kinds(elements: list[Any], *, name: str, datatype: Datatype) -> None:
    allowed, wanted = _WANTED.get(datatype, _INTEGERS)
    if set(map(type, elements)) <= allowed:
        return
    index, offender = next((i, e) for i, e in enumerate(elements) if type(e) not in allowed)
    got = kind(offender)
    if isinstance(offender, str | int | float):
        got = f"{got}, {excerpt(offender)}"
    raise TensorInvalid(
        f"input {excerpt(name)} is {datatype}, whose elements are {wanted};"
        f" element {index} is {got}"
    )


def _from_numbers(
    data: Numbers, *, name: str, datatype: Datatype, shape: tuple[int, ...]
) -> np.ndarray:
    values = data.read(datatype)
    if data.shape not in (shape, (math.prod(shape),)):
        raise Unusual
    if datatype is Datatype.FP32:
        return _single_precision(values, name=name).reshape(shape)
    if datatype is not Datatype.FP64:
        limits = np.iinfo(datatype.lower())
        if values.size and (values.min() < limits.min or values.max() > limits.max):
            raise Unusual
    return values.astype(datatype.numpy, copy=False).reshape(shape)


def _is_finite(flat: np.ndarray) -> bool:
    # the sum of finite numbers may be infinite, but that of others is never finite
    if flat.size <= _FEW and math.isfinite(sum(flat.tolist())):
        return True
    return bool(np.isfinite(flat).all())


def _single_precision(doubles: np.ndarray, *, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        singles = doubles.astype(np.float32)
    if not np.isfinite(singles).all():
        index = int(np.argmin(np.isfinite(singles)))
        raise TensorInvalid(
            f"input {excerpt(name)} has the element {doubles[index]};"
            f" FP32 ends at {np.finfo(np.float32).max}"
        )
    return singles
