"""Bodies of infer requests to checked arrays: JSON, with binary tensors behind it, or raw.

Sources: https://github.com/kserve/open-inference-protocol, inference_rest.md;
https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md.
Every check that can be made on names, types and sizes comes before the first allocation.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from bundle.tensors import Datatype
from service.codec.binary_tensors import array_from_bytes
from service.codec.json_tensors import check_json_can_carry
from service.codec.numbers import WORTHWHILE_BYTES, Unusual, parse_numbers
from service.codec.outline import (
    DecodedRequest,
    Key,
    Outline,
    Outlines,
    Slot,
    cut_out,
    put_back,
    read_numbers,
)
from service.codec.outputs import WantedOutputs, wanted_outputs
from service.codec.parameters import given_parameters, placement, request_parameters, size
from service.codec.text import array_field, kind, optional_text, parse_object, text_field
from service.errors import (
    BodyCorrupt,
    InputMismatch,
    JsonInvalid,
    ParameterInvalid,
    TensorInvalid,
    excerpt,
)
from service.inference import InferenceRequest, Parameter, Placement, SharedInput
from service.signature import Signature

__all__ = ["decode_raw_request", "decode_request"]


def decode_request(
    body: bytes,
    signature: Signature,
    *,
    header_length: int | None = None,
    outlines: Outlines | None = None,
) -> DecodedRequest:
    """Decode a body that begins with JSON.

    Args:
        body: the whole body, decompressed.
        signature: of the model that is asked.
        header_length: bytes of JSON before the binary tensor data, or ``None`` when there are
            none and the whole body is JSON.
        outlines: of requests for the same model that were seen; this one is added.

    Raises:
        RequestInvalid: of the kind that says what is wrong.
    """
    if header_length is not None and header_length > len(body):
        raise BodyCorrupt(
            f"Inference-Header-Content-Length is {header_length}; the body has {len(body)} bytes"
        )
    view = memoryview(body)
    length = len(body) if header_length is None else header_length
    text = body if length == len(body) else view[:length]
    blobs = view[length:]
    if length == len(body) >= WORTHWHILE_BYTES:  # with binary tensors, JSON has no long arrays
        with contextlib.suppress(Unusual):
            return _decode(parse_numbers(text), blobs, signature)
    if outlines is None:
        return _decode(parse_object(text), blobs, signature)
    return _decode_as_before(bytes(text), blobs, signature, outlines)


def _decode(fields: dict[str, Any], blobs: memoryview, signature: Signature) -> DecodedRequest:
    outline, request_id, data = _outline(fields, signature)
    return outline.fill(data, blobs, request_id)


def _decode_as_before(
    text: bytes, blobs: memoryview, signature: Signature, outlines: Outlines
) -> DecodedRequest:
    """Decode it with what is known of such requests, if it is."""
    key, cut_id, numbers = cut_out(text)
    known = outlines.get(key)
    if known is not None:
        with contextlib.suppress(orjson.JSONDecodeError):
            return known.fill([read_numbers(each) for each in numbers], blobs, cut_id)
    outline, request_id, data = _outline(parse_object(text), signature)
    decoded = outline.fill(data, blobs, request_id)
    if known is None and request_id == cut_id and outlines.has_room(key):
        found = _outline_of(key, cut_id, len(numbers), signature)
        if found is not None:
            outlines.add(key, found)
    return decoded


def _outline_of(key: Key, cut_id: str | None, count: int, signature: Signature) -> Outline | None:
    """The outline of all requests with these pieces.

    None where what was cut out is not the id of the request and the data of its inputs, in order:
    other text can look like them. What is read with two other ids and twice other data, and is them
    both times, is them.
    """
    for first in (0, 1):
        another = None if cut_id is None else f"{cut_id}{first}"
        found, request_id, data = _outline(
            parse_object(put_back(key, another, first=first)), signature
        )
        if request_id != another or data != [[first + number] for number in range(count)]:
            return None
    return found


def _outline(
    fields: dict[str, Any], signature: Signature
) -> tuple[Outline, str | None, list[object]]:
    """What the fields of a request say beside its id and the data of its inputs, and these."""
    parameters = request_parameters(fields)
    wanted = wanted_outputs(_listed_outputs(fields), signature)
    by_default = parameters.get("binary_data_output") is True
    slots, shared, data = _slots(fields, signature)
    request_id = optional_text(fields, "id", of="the request") or None
    outline = Outline(
        parameters=parameters,
        outputs=wanted.names,
        classes=wanted.classes,
        shared_inputs=shared,
        shared_outputs=wanted.placements,
        binary_outputs=_binary_outputs(wanted, signature, by_default=by_default),
        slots=slots,
    )
    return outline, request_id, data


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
        if not body:
            raise TensorInvalid(
                f"the body is empty, and a raw binary request is one BYTES element of input"
                f" {excerpt(spec.name)}: send a JSON header if that is to be empty"
            )
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


def _slots(
    fields: dict[str, Any], signature: Signature
) -> tuple[tuple[Slot, ...], dict[str, SharedInput], list[object]]:
    """The inputs that come with a request, those in shared memory, and the data of the first."""
    slots: dict[str, Slot] = {}
    shared: dict[str, SharedInput] = {}
    values: list[object] = []
    for tensor in array_field(fields, "inputs", of="the request"):
        if not isinstance(tensor, dict):
            raise JsonInvalid(f"each of 'inputs' must be an object; got {kind(tensor)}")
        name = text_field(tensor, "name", of="an input")
        of = f"input {excerpt(name)}"
        if name in slots or name in shared:
            raise InputMismatch(f"{of} is given twice")
        datatype = _datatype(tensor, of=of)
        shape = _shape(tensor, of=of)
        signature.check_input(name, datatype, shape)
        parameters = given_parameters(tensor, of=of)
        blob_size = size(parameters, "binary_data_size")
        place = placement(parameters, of=of)
        data = tensor.get("data")
        if (data is None) + (blob_size is None) + (place is None) != 2:
            raise _sources_invalid(of, data, blob_size, place)
        if place is not None:
            shared[name] = SharedInput(datatype=datatype, shape=shape, placement=place)
            continue
        slots[name] = Slot(name, datatype, shape, blob_size)
        if blob_size is None:
            values.append(data)
    signature.check_complete((*slots, *shared))
    return tuple(slots.values()), shared, values


def _sources_invalid(
    of: str, data: object, blob_size: int | None, place: Placement | None
) -> ParameterInvalid:
    sources = {"'data'": data, "'binary_data_size'": blob_size, "'shared_memory_region'": place}
    got = " and ".join(name for name, source in sources.items() if source is not None)
    return ParameterInvalid(
        f"{of} has {got or 'no data'}; it wants exactly one of 'data' and the parameters"
        " 'binary_data_size' and 'shared_memory_region'"
    )


def _datatype(tensor: dict[str, Any], *, of: str) -> Datatype:
    given = text_field(tensor, "datatype", of=of)
    try:
        return Datatype(given)
    except ValueError:
        raise TensorInvalid(
            f"{of} has the datatype {excerpt(given)}; the protocol has {', '.join(Datatype)}"
        ) from None


def _shape(tensor: dict[str, Any], *, of: str) -> tuple[int, ...]:
    shape = array_field(tensor, "shape", of=of)
    for dimension in shape:
        if type(dimension) is not int or dimension < 0:
            raise TensorInvalid(
                f"{of} has {excerpt(dimension)} in its shape; each dimension is an integer of at"
                " least 0"
            )
    return tuple(shape)


def _listed_outputs(fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Parameter]]]:
    if fields.get("outputs") is None:
        return
    for tensor in array_field(fields, "outputs", of="the request"):
        if not isinstance(tensor, dict):
            raise JsonInvalid(f"each of 'outputs' must be an object; got {kind(tensor)}")
        name = text_field(tensor, "name", of="an output")
        yield name, given_parameters(tensor, of=f"output {excerpt(name)}")


def _binary_outputs(
    wanted: WantedOutputs, signature: Signature, *, by_default: bool
) -> frozenset[str]:
    """Those that travel behind the JSON. The others are known to be such that JSON can carry."""
    travelling = [name for name in wanted.names if name not in wanted.placements]
    binary = frozenset(name for name in travelling if wanted.binary.get(name, by_default))
    for name in travelling:
        if name not in binary and name not in wanted.classes:
            check_json_can_carry(name, signature.output(name).datatype)
    return binary
