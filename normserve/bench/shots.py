"""One request in every form of the protocol, and what comes back as arrays. Sends one at most.

Load is made elsewhere, of the bytes that are made here.
"""

import json
import math
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from bundle import Datatype
from service.codec.binary_tensors import array_from_bytes, bytes_from_array
from service.grpc.schema import message

__all__ = ["GRPC", "HTTP_BINARY", "HTTP_JSON", "Refused", "Shot", "Target", "ask", "forms", "send"]

HTTP_JSON, HTTP_BINARY, GRPC = "HTTP JSON", "HTTP binary", "gRPC"

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_NO_JSON = (Datatype.FP16, Datatype.BF16)
_SECONDS = 120.0
_UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

Arrays = Mapping[str, np.ndarray]


class Refused(Exception):
    """A request got no answer; the message is what came instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens.

    Attributes:
        url: of HTTP, without a path.
        grpc: host and port of gRPC, where it speaks that.
    """

    url: str
    grpc: str | None = None


@dataclass(frozen=True, slots=True)
class Shot:
    """A request that can be repeated.

    Attributes:
        path: below the server's root.
        body: of a POST; a GET where it is empty. For gRPC one frame.
        headers: of the request.
        form: its name.
    """

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    form: str = HTTP_JSON

    @property
    def is_grpc(self) -> bool:
        """Whether it goes over HTTP/2."""
        return self.form == GRPC


def forms(
    model: str, inputs: Arrays, *, version: str = "", key: str | None = None
) -> dict[str, Shot]:
    """The same question in every form that can carry it.

    Args:
        model: that is asked.
        inputs: what it is asked, in the `Datatype.numpy` dtypes.
        version: of the model; the latest one if empty.
        key: that the service asks for.
    """
    shown = {} if key is None else {"Authorization": f"Bearer {key}"}
    at = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
    tensors = [
        {"name": name, "shape": array.shape, "datatype": Datatype.from_numpy(array.dtype)}
        for name, array in inputs.items()
    ]
    raw = [
        bytes(bytes_from_array(array, datatype=Datatype.from_numpy(array.dtype)))
        for array in inputs.values()
    ]
    made = {}
    if not any(tensor["datatype"] in _NO_JSON for tensor in tensors):
        body = {
            "inputs": [
                {**tensor, "data": _listed(array)}
                for tensor, array in zip(tensors, inputs.values(), strict=True)
            ]
        }
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **shown}
        made[HTTP_JSON] = Shot(at, json.dumps(body).encode(), headers)
    header = json.dumps(
        {
            "inputs": [
                {**tensor, "parameters": {"binary_data_size": len(content)}}
                for tensor, content in zip(tensors, raw, strict=True)
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Accept-Encoding": "identity",
        "Inference-Header-Content-Length": str(len(header)),
        **shown,
    }
    made[HTTP_BINARY] = Shot(at, header + b"".join(raw), headers, HTTP_BINARY)
    request = message("ModelInferRequest")(model_name=model, model_version=version)
    for tensor in tensors:
        request.inputs.add(**tensor)
    request.raw_input_contents.extend(raw)
    content = request.SerializeToString()
    made[GRPC] = Shot(
        _METHOD,
        struct.pack(">BI", 0, len(content)) + content,
        {"content-type": "application/grpc", "te": "trailers"}
        | {name.lower(): value for name, value in shown.items()},
        GRPC,
    )
    return made


def send(target: Target, shot: Shot) -> tuple[bytes, Mapping[str, str]]:
    """Send a request once, over HTTP/1.1; what came back and its headers, in small letters.

    Raises:
        Refused: no server answers, or it answers with an error.
    """
    request = urllib.request.Request(  # noqa: S310 - the caller's own server
        target.url + shot.path, data=shot.body or None, headers=dict(shot.headers)
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310
            return reply.read(), {name.lower(): value for name, value in reply.headers.items()}
    except urllib.error.HTTPError as err:
        raise Refused(f"{err.code}: {err.read(400).decode(errors='replace')}") from err
    except OSError as err:
        raise Refused(f"nothing answers at {target.url}: {err}") from err


def ask(target: Target, shot: Shot) -> dict[str, np.ndarray]:
    """What a model answers, as arrays by the names of its outputs.

    Raises:
        Refused: no server answers, or it answers with an error.
    """
    if shot.is_grpc:
        return _ask_grpc(target, shot)
    content, headers = send(target, shot)
    length = int(headers.get("inference-header-content-length", len(content)))
    outputs = json.loads(content[:length])["outputs"]
    blobs = memoryview(content)[length:]
    arrays = {}
    for output in outputs:
        datatype, shape = Datatype(output["datatype"]), tuple(output["shape"])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            arrays[output["name"]] = _array(output["data"], datatype, shape)
        else:
            arrays[output["name"]] = array_from_bytes(
                blobs[:size], name=output["name"], datatype=datatype, shape=shape
            )
            blobs = blobs[size:]
    return arrays


def _ask_grpc(target: Target, shot: Shot) -> dict[str, np.ndarray]:
    metadata = tuple(item for item in shot.headers.items() if item[0] == "authorization")
    with grpc.insecure_channel(target.grpc or "", options=_UNLIMITED) as channel:
        infer: grpc.UnaryUnaryMultiCallable[bytes, Any] = channel.unary_unary(
            shot.path, response_deserializer=message("ModelInferResponse").FromString
        )
        try:
            reply = infer(shot.body[5:], metadata=metadata, timeout=_SECONDS)
        except grpc.RpcError as err:
            raise Refused(f"gRPC: {err}") from err
    return {
        output.name: array_from_bytes(
            memoryview(content),
            name=output.name,
            datatype=Datatype(output.datatype),
            shape=tuple(output.shape),
        )
        for output, content in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


def _listed(array: np.ndarray) -> list[Any]:
    flat: list[Any] = array.ravel().tolist()
    return [each.decode() if isinstance(each, bytes) else each for each in flat]


def _array(data: list[Any], datatype: Datatype, shape: tuple[int, ...]) -> np.ndarray:
    if datatype is not Datatype.BYTES:
        return np.array(data, datatype.numpy).reshape(shape)
    array = np.empty(math.prod(shape), object)
    array[:] = [each.encode() for each in data]
    return array.reshape(shape)
