"""Bodies of infer requests to checked arrays: JSON, with binary tensors behind it, or raw.

Sources: https://github.com/kserve/open-inference-protocol, inference_rest.md;
https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md.
Every check that can be made on names, types and sizes comes before the first allocation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle.tensors import Datatype
from service.codec.binary_tensors import array_from_bytes
from service.codec.json_tensors import array_from_json, check_json_can_carry
from service.codec.parameters import (
    class_count,
    flag,
    input_parameters,
    output_parameters,
    request_parameters,
    size,
)
from service.codec.text import array_field, kind, optional_text, parse_object, text_field
from service.errors import (
    BodyCorrupt,
    InputMismatch,
    JsonInvalid,
    ParameterInvalid,
    TensorInvalid,
    excerpt,
)
from service.inference import InferenceRequest
from service.signature import Signature

__all__ = ["DecodedRequest", "decode_raw_request", "decode_request"]


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A request, and which of its outputs travel back as binary tensor data."""

    request: InferenceRequest
    binary_outputs: frozenset[str]


def decode_request(
    body: bytes, signature: Signature, *, header_length: int | None = None
) -> DecodedRequest:
    """Decode a body that begins with JSON.

    Args:
        body: the whole body, decompressed.
        signature: of the model that is asked.
        header_length: bytes of JSON before the binary tensor data, or ``None`` when there are
            none and the whole body is JSON.

    Raises:
        RequestInvalid: of the kind that says what is wrong.
    """
    if header_length is not None and header_length > len(body):
        raise BodyCorrupt(
            f"Inference-Header-Content-Length is {header_length}; the body has {len(body)} bytes"
        )
    view = memoryview(body)
    length = len(body) if header_length is None else header_length
    fields = parse_object(body if length == len(body) else view[:length])
    parameters = request_parameters(fields)
    outputs, binary_outputs, classes = _decode_outputs(fields, parameters, signature)
    return DecodedRequest(
        InferenceRequest(
            id=optional_text(fields, "id", of="the request") or None,
            parameters=parameters,
            inputs=_decode_inputs(fields, view[length:], signature),
            outputs=outputs,
            classes=classes,
        ),
        binary_outputs,
    )


def decode_raw_request(body: bytes, signature: Signature) -> DecodedRequest:
    """Decode a body that is the bytes of the model's only input, without any JSON.

    Its one dynamic dimension follows from the number of bytes; a BYTES input is the whole body as
    its one element. All outputs travel back as binary tensor data.

    Raises:
        InputMismatch: the model has more inputs than one, or more dynamic dimensions.
        TensorInvalid: the number of bytes is that of no possible shape.
    """
    if len(signature.inputs) != 1:
        raise InputMismatch(
            f"a raw binary request is for a model with one input; this one has"
            f" {len(signature.inputs)}: send a JSON header that names them"
        )
    spec = signature.inputs[0]
    if spec.datatype is Datatype.BYTES:
        shape = tuple(1 if isinstance(dim, str) else dim for dim in spec.shape)
        signature.check_input(spec.name, spec.datatype, shape)
        if any(dim != 1 for dim in shape):
            raise InputMismatch(
                f"a raw binary request is one BYTES element; input {excerpt(spec.name)} has"
                f" shape {excerpt(spec.shape)}: send a JSON header"
            )
        array = np.empty(1, dtype=object)
        array[0] = body
        array = array.reshape(shape)
    else:
        shape = _deduce_shape(len(body), signature)
        signature.check_input(spec.name, spec.datatype, shape)
        array = array_from_bytes(
            memoryview(body), name=spec.name, datatype=spec.datatype, shape=shape
        )
    outputs = signature.select(())
    return DecodedRequest(
        InferenceRequest(id=None, parameters={}, inputs={spec.name: array}, outputs=outputs),
        frozenset(outputs),
    )


def _deduce_shape(byte_count: int, signature: Signature) -> tuple[int, ...]:
    spec = signature.inputs[0]
    dynamic = [dim for dim in spec.shape if isinstance(dim, str)]
    if len(dynamic) > 1:
        raise InputMismatch(
            f"input {excerpt(spec.name)} has shape {excerpt(spec.shape)}, and a raw binary request"
            " can tell only one dynamic dimension: send a JSON header with the shape"
        )
    fixed = [dim for dim in spec.shape if isinstance(dim, int)]
    row = (spec.datatype.itemsize or 1) * math.prod(fixed)
    if dynamic and (byte_count == 0 or row == 0 or byte_count % row):
        raise TensorInvalid(
            f"a raw binary request for input {excerpt(spec.name)} has {byte_count} bytes;"
            f" {spec.datatype} of shape {excerpt(spec.shape)} wants a multiple of {row}"
        )
    return tuple(byte_count // row if isinstance(dim, str) else dim for dim in spec.shape)


def _decode_inputs(
    fields: dict[str, Any], blobs: memoryview, signature: Signature
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for tensor in array_field(fields, "inputs", of="the request"):
        if not isinstance(tensor, dict):
            raise JsonInvalid(f"each of 'inputs' must be an object; got {kind(tensor)}")
        name = text_field(tensor, "name", of="an input")
        if name in arrays:
            raise InputMismatch(f"input {excerpt(name)} is given twice")
        datatype = _datatype(tensor, name)
        shape = _shape(tensor, name)
        signature.check_input(name, datatype, shape)
        blob_size = size(input_parameters(tensor, name), "binary_data_size")
        data = tensor.get("data")
        if (blob_size is None) == (data is None):
            both = "both" if blob_size is not None else "neither"
            raise ParameterInvalid(
                f"input {excerpt(name)} has {both} of 'data' and the parameter"
                " 'binary_data_size'; it wants exactly one of them"
            )
        if blob_size is None:
            arrays[name] = array_from_json(data, name=name, datatype=datatype, shape=shape)
        else:
            blob, blobs = _cut(blobs, blob_size, name)
            arrays[name] = array_from_bytes(blob, name=name, datatype=datatype, shape=shape)
    signature.check_complete(arrays)
    if blobs:
        raise BodyCorrupt(f"the body goes on for {len(blobs)} bytes after the last input")
    return arrays


def _cut(blobs: memoryview, length: int, name: str) -> tuple[memoryview, memoryview]:
    if length > len(blobs):
        raise BodyCorrupt(
            f"input {excerpt(name)} has a binary_data_size of {length}; {len(blobs)} bytes of the"
            " body are left for it (Inference-Header-Content-Length says where they begin)"
        )
    return blobs[:length], blobs[length:]


def _datatype(tensor: dict[str, Any], name: str) -> Datatype:
    given = text_field(tensor, "datatype", of=f"input {excerpt(name)}")
    try:
        return Datatype(given)
    except ValueError:
        raise TensorInvalid(
            f"input {excerpt(name)} has the datatype {excerpt(given)};"
            f" the protocol has {', '.join(Datatype)}"
        ) from None


def _shape(tensor: dict[str, Any], name: str) -> tuple[int, ...]:
    shape = array_field(tensor, "shape", of=f"input {excerpt(name)}")
    for dimension in shape:
        if type(dimension) is not int or dimension < 0:
            raise TensorInvalid(
                f"input {excerpt(name)} has {excerpt(dimension)} in its shape;"
                " each dimension is an integer of at least 0"
            )
    return tuple(shape)


def _decode_outputs(
    fields: dict[str, Any], parameters: Mapping[str, object], signature: Signature
) -> tuple[tuple[str, ...], frozenset[str], dict[str, int]]:
    by_default = parameters.get("binary_data_output") is True
    wanted: dict[str, bool] = {}
    classes: dict[str, int] = {}
    listed = fields.get("outputs")
    for tensor in [] if listed is None else array_field(fields, "outputs", of="the request"):
        if not isinstance(tensor, dict):
            raise JsonInvalid(f"each of 'outputs' must be an object; got {kind(tensor)}")
        name = text_field(tensor, "name", of="an output")
        asked = output_parameters(tensor, name)
        binary = flag(asked, "binary_data")
        wanted[name] = by_default if binary is None else binary
        count = class_count(asked, signature.output(name))
        if count is not None:
            classes[name] = count
    outputs = signature.select(wanted)
    for name in outputs:
        if not wanted.get(name, by_default) and name not in classes:
            check_json_can_carry(name, signature.output(name).datatype)
    binary_outputs = frozenset(name for name in outputs if wanted.get(name, by_default))
    return outputs, binary_outputs, classes
