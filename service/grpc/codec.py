"""Protobuf messages to checked arrays and back. Knows no methods and no statuses.

Source: https://github.com/kserve/open-inference-protocol, open_inference_grpc.proto. Values come as
raw bytes beside the request, or typed inside each input, never both. A reply is always raw: clients
read that whatever they sent.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from bundle.tensors import Datatype
from service.codec.binary_tensors import array_from_bytes, bytes_from_array
from service.codec.outputs import wanted_outputs
from service.codec.parameters import check_request, placement, placement_parameters
from service.errors import InputMismatch, ParameterInvalid, TensorInvalid, excerpt
from service.grpc.schema import message
from service.inference import (
    InferenceReply,
    InferenceRequest,
    Parameter,
    Placement,
    SharedInput,
)
from service.signature import Signature

__all__ = ["decode_parameters", "decode_request", "encode_parameters", "encode_reply"]

_Response = message("ModelInferResponse")

_TYPED_FIELDS: Final[Mapping[Datatype, str]] = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
"""Half precision has no field of its own: it travels raw."""

_PARAMETER_FIELDS: Final[Mapping[type[Parameter], str]] = {
    bool: "bool_param",
    int: "int64_param",
    str: "string_param",
    float: "double_param",
}

_FOR_STREAMS = "triton_enable_empty_final_response"
"""The one reserved name that a client may send; with one reply to a request it changes nothing."""


def decode_request(request: Any, signature: Signature) -> InferenceRequest:
    """Decode a ``ModelInferRequest``.

    Args:
        request: the message.
        signature: of the model that is asked.

    Raises:
        RequestInvalid: of the kind that says what is wrong.
    """
    parameters = decode_parameters(request.parameters, of="the request")
    parameters.pop(_FOR_STREAMS, None)
    check_request(parameters)
    wanted = wanted_outputs(_listed_outputs(request), signature)
    inputs, shared_inputs = _decode_inputs(request, signature)
    return InferenceRequest(
        id=request.id or None,
        parameters=parameters,
        inputs=inputs,
        outputs=wanted.names,
        classes=wanted.classes,
        shared_inputs=shared_inputs,
        shared_outputs=wanted.placements,
    )


def decode_parameters(parameters: Mapping[str, Any], *, of: str) -> dict[str, Parameter]:
    """The values of a map of ``InferParameter``.

    Raises:
        ParameterInvalid: one has no value.
    """
    decoded: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise ParameterInvalid(f"parameter {excerpt(name)} of {of} has no value")
        decoded[name] = getattr(parameter, choice)
    return decoded


def encode_reply(reply: InferenceReply) -> Any:
    """A ``ModelInferResponse``, all of its tensors raw."""
    response = _Response(
        model_name=reply.model_name, model_version=str(reply.model_version), id=reply.id or ""
    )
    encode_parameters(reply.parameters, response.parameters)
    for output in reply.outputs:
        datatype = output.spec.datatype
        tensor = response.outputs.add(
            name=output.spec.name, datatype=datatype.value, shape=output.array.shape
        )
        content: bytes | memoryview = b""  # an output in shared memory has an empty place
        if output.placement is None:
            content = bytes_from_array(output.array, datatype=datatype)
        else:
            encode_parameters(placement_parameters(output.placement), tensor.parameters)
        response.raw_output_contents.append(bytes(content))
    return response


def encode_parameters(parameters: Mapping[str, Parameter], target: Any) -> None:
    """Write parameters into a map of ``InferParameter``."""
    for name, value in parameters.items():
        setattr(target[name], _PARAMETER_FIELDS[type(value)], value)


def _listed_outputs(request: Any) -> Iterator[tuple[str, dict[str, Parameter]]]:
    for output in request.outputs:
        of = f"output {excerpt(output.name)}"
        yield output.name, decode_parameters(output.parameters, of=of)


def _decode_inputs(
    request: Any, signature: Signature
) -> tuple[dict[str, np.ndarray], dict[str, SharedInput]]:
    raw = request.raw_input_contents
    places = [_placement(tensor) for tensor in request.inputs]
    if raw and len(raw) != places.count(None):
        raise InputMismatch(
            f"the request has {len(raw)} raw_input_contents for {places.count(None)} inputs that"
            " are not in shared memory; it wants one for each, or none and typed contents"
        )
    blobs = iter(raw)
    arrays: dict[str, np.ndarray] = {}
    shared: dict[str, SharedInput] = {}
    for tensor, place in zip(request.inputs, places, strict=True):
        name, of = tensor.name, f"input {excerpt(tensor.name)}"
        if name in arrays or name in shared:
            raise InputMismatch(f"{of} is given twice")
        datatype, shape = _datatype(tensor), _shape(tensor)
        signature.check_input(name, datatype, shape)
        # an empty message says nothing, and one client always sends it
        if (raw or place is not None) and tensor.contents.ByteSize():
            beside = "raw_input_contents" if place is None else "a shared memory region"
            raise TensorInvalid(f"{of} has typed contents beside {beside}; it wants one of them")
        if place is not None:
            shared[name] = SharedInput(datatype=datatype, shape=shape, placement=place)
        elif raw:
            blob = memoryview(next(blobs))
            arrays[name] = array_from_bytes(blob, name=name, datatype=datatype, shape=shape)
        else:
            arrays[name] = _from_typed(tensor, datatype, shape)
    signature.check_complete((*arrays, *shared))
    return arrays, shared


def _placement(tensor: Any) -> Placement | None:
    of = f"input {excerpt(tensor.name)}"
    return placement(decode_parameters(tensor.parameters, of=of), of=of)


def _datatype(tensor: Any) -> Datatype:
    try:
        return Datatype(tensor.datatype)
    except ValueError:
        raise TensorInvalid(
            f"input {excerpt(tensor.name)} has the datatype {excerpt(tensor.datatype)};"
            f" the protocol has {', '.join(Datatype)}"
        ) from None


def _shape(tensor: Any) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    if any(size < 0 for size in shape):
        raise TensorInvalid(
            f"input {excerpt(tensor.name)} has shape {excerpt(shape)}; no size may be below 0"
        )
    return shape


def _from_typed(tensor: Any, datatype: Datatype, shape: tuple[int, ...]) -> np.ndarray:
    name, count = tensor.name, math.prod(shape)
    if datatype not in _TYPED_FIELDS:
        raise TensorInvalid(
            f"input {excerpt(name)} is {datatype}, which has no typed contents; send it in"
            " raw_input_contents"
        )
    field = _TYPED_FIELDS[datatype]
    strange = [each.name for each, _ in tensor.contents.ListFields() if each.name != field]
    if strange:
        raise TensorInvalid(
            f"input {excerpt(name)} is {datatype} and has {strange[0]}; it wants {field}"
        )
    values = getattr(tensor.contents, field)
    if len(values) != count:
        raise TensorInvalid(
            f"input {excerpt(name)} has {len(values)} elements in {field}; shape"
            f" {excerpt(shape)} wants {count}"
        )
    if datatype is Datatype.BYTES:
        elements = np.empty(count, dtype=object)
        elements[:] = list(values)
        return elements.reshape(shape)
    if datatype.numpy.kind in "iu":
        return _integers(values, name=name, datatype=datatype).reshape(shape)
    return np.array(values, dtype=datatype.numpy).reshape(shape)


def _integers(values: Any, *, name: str, datatype: Datatype) -> np.ndarray:
    wide = np.array(values, dtype=np.uint64 if datatype.numpy.kind == "u" else np.int64)
    limits = np.iinfo(datatype.numpy.name)
    outside = (wide < limits.min) | (wide > limits.max)
    if outside.any():
        raise TensorInvalid(
            f"input {excerpt(name)} is {datatype} and has {int(wide[outside][0])}; it may be"
            f" {limits.min} to {limits.max}"
        )
    return wide.astype(datatype.numpy)
