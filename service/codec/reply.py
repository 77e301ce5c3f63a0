"""Replies to the bytes of an infer response: JSON, with binary tensors behind it. Sends nothing.

Sources: https://github.com/kserve/open-inference-protocol, inference_rest.md;
https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import orjson

from service.codec.binary_tensors import bytes_from_array
from service.codec.json_tensors import json_from_array
from service.codec.parameters import placement_parameters
from service.inference import InferenceReply

__all__ = ["EncodedReply", "encode_reply"]


@dataclass(frozen=True, slots=True)
class EncodedReply:
    """The body of a reply.

    Attributes:
        body: JSON, then the binary tensors.
        header_length: bytes of the JSON, or ``None`` when it is the whole body.
    """

    body: bytes
    header_length: int | None


def encode_reply(reply: InferenceReply, *, binary_outputs: AbstractSet[str]) -> EncodedReply:
    """Encode a reply.

    Args:
        reply: what the model answered.
        binary_outputs: names of the outputs that travel as binary tensor data.

    Raises:
        NotJsonRepresentable: an output that travels as JSON holds what JSON cannot carry.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for output in reply.outputs:
        name, datatype = output.spec.name, output.spec.datatype
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": datatype.value,
            "shape": output.array.shape,
        }
        if output.placement is not None:
            tensor["parameters"] = placement_parameters(output.placement)
        elif name in binary_outputs:
            blob = bytes_from_array(output.array, datatype=datatype)
            tensor["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            tensor["data"] = json_from_array(output.array, name=name, datatype=datatype)
        outputs.append(tensor)
    fields: dict[str, Any] = {
        "model_name": reply.model_name,
        "model_version": str(reply.model_version),
    }
    if reply.id is not None:
        fields["id"] = reply.id
    if reply.parameters:
        fields["parameters"] = dict(reply.parameters)
    fields["outputs"] = outputs
    header = orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(blobs):
        return EncodedReply(header, None)
    return EncodedReply(b"".join((header, *blobs)), len(header))
