"""Bodies of the generate extension to checked arrays and back: flat JSON, no shapes, no datatypes.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_generate.md.

Every key of the request, and of its object ``parameters``, that is the name of an input is that
input; ``id`` is the request's id; every other one is a parameter. A value has no shape of its own
unless it is nested as deep as the input has dimensions: otherwise its elements fill the input's
fixed dimensions first, then the innermost dynamic one, and the others are 1.
"""

import math
from typing import Any, Final

import numpy as np
import orjson

from bundle.tensors import Datatype, TensorSpec
from service.codec.json_tensors import array_from_json, json_from_array
from service.codec.parameters import request_parameters
from service.codec.text import optional_object, optional_text, parse_object
from service.errors import InputMismatch, NotJsonRepresentable, TensorInvalid, excerpt
from service.inference import InferenceReply, InferenceRequest
from service.signature import Signature

__all__ = ["decode_generate", "encode_generate"]

_HALF: Final = frozenset({Datatype.FP16, Datatype.BF16})
_RESERVED: Final = frozenset({"id", "model_name", "model_version"})
"""Keys of the reply that are no outputs."""


def decode_generate(body: bytes, signature: Signature) -> InferenceRequest:
    """Decode a request.

    Args:
        body: the whole body, decompressed.
        signature: of the model that is asked.

    Raises:
        RequestInvalid: of the kind that says what is wrong; also where the model has a tensor that
            this form cannot carry.
    """
    _require_flat(signature)
    names = {spec.name for spec in signature.inputs}
    given = parse_object(body)
    if "parameters" not in names:
        nested = optional_object(given, "parameters", of="the request")
        given.pop("parameters", None)
        repeated = next((key for key in nested if key in given), None)
        if repeated is not None:
            raise InputMismatch(f"{excerpt(repeated)} is given twice, also in 'parameters'")
        given |= nested
    identifier = None if "id" in names else optional_text(given, "id", of="the request")
    arrays = {
        spec.name: _array(given[spec.name], spec, signature)
        for spec in signature.inputs
        if spec.name in given
    }
    signature.check_complete(arrays)
    others = {key: value for key, value in given.items() if key not in names and key != "id"}
    return InferenceRequest(
        id=identifier or None,
        parameters=request_parameters({"parameters": others}),
        inputs=arrays,
        outputs=signature.select(()),
    )


def encode_generate(reply: InferenceReply) -> bytes:
    """Encode a reply as one JSON object: each output under its name, flat.

    An output of one element is that element; others are arrays, row-major.

    Raises:
        NotJsonRepresentable: an output holds what JSON cannot carry.
    """
    fields: dict[str, Any] = {
        "model_name": reply.model_name,
        "model_version": str(reply.model_version),
    }
    if reply.id is not None:
        fields["id"] = reply.id
    for output in reply.outputs:
        name = output.spec.name
        try:
            values = json_from_array(output.array, name=name, datatype=output.spec.datatype)
        except NotJsonRepresentable as err:
            raise NotJsonRepresentable(f"{err} in a request to infer") from err
        fields[name] = _only(values) if len(values) == 1 else values
    return orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)


def _only(values: np.ndarray | list[str]) -> object:
    value: object = values[0]
    # orjson knows NumPy's integers only by their usual names, and a float32 keeps its short form
    return value.item() if isinstance(value, np.integer) else value


def _require_flat(signature: Signature) -> None:
    for role, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if spec.datatype in _HALF:
                raise NotJsonRepresentable(
                    f"{role} {excerpt(spec.name)} of the model is {spec.datatype}, which JSON"
                    " cannot carry; ask infer, with binary tensor data"
                )
            if role == "output" and spec.name in _RESERVED:
                raise NotJsonRepresentable(
                    f"output {excerpt(spec.name)} of the model is called like another key of the"
                    " reply; ask infer"
                )


def _array(value: object, spec: TensorSpec, signature: Signature) -> np.ndarray:
    data = value if isinstance(value, list) else [value]
    nested = _nesting(data)
    if len(nested) == 1:
        shape = _distribute(len(data), spec)
    elif len(nested) == len(spec.shape):
        shape = nested
    else:
        raise TensorInvalid(
            f"{excerpt(spec.name)} is nested {len(nested)} deep; the model wants it flat, or"
            f" {len(spec.shape)} deep as its shape {_written(spec)} has it"
        )
    signature.check_input(spec.name, spec.datatype, shape)
    return array_from_json(data, name=spec.name, datatype=spec.datatype, shape=shape)


def _nesting(data: list[Any]) -> tuple[int, ...]:
    """The shape by the first element of each level; the other elements are checked later."""
    sizes = [len(data)]
    level: Any = data
    while level and isinstance(level[0], list):
        level = level[0]
        sizes.append(len(level))
    return tuple(sizes)


def _distribute(count: int, spec: TensorSpec) -> tuple[int, ...]:
    fixed = math.prod(size for size in spec.shape if isinstance(size, int))
    dynamic = [place for place, size in enumerate(spec.shape) if isinstance(size, str)]
    fits = fixed > 0 and count % fixed == 0 if dynamic else count == fixed
    if not fits:
        raise TensorInvalid(
            f"{excerpt(spec.name)} has {count} elements, which do not fill the shape"
            f" {_written(spec)} that the model wants"
        )
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    if dynamic:
        shape[dynamic[-1]] = count // fixed
    return tuple(shape)


def _written(spec: TensorSpec) -> str:
    return f"({', '.join(map(str, spec.shape))})"
