"""The requests that are sent, in every form, and how their answers are held against the runtime."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from tritonclient.grpc import service_pb2  # the schema, as clients have it

__all__ = ["Shot", "grpc_shot", "shots"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A request that a load generator repeats.

    Attributes:
        path: below the server's root.
        body: of the request.
        headers: of the request.
        is_http2: whether it goes over HTTP/2, as gRPC does.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    is_http2: bool = False

    def write(self, folder: Path) -> Path:
        """The body as a file for the load generator."""
        path = folder / f"{abs(hash((self.path, self.body)))}.body"
        path.write_bytes(self.body)
        return path


def shots(model: str, row: np.ndarray) -> dict[str, Shot]:
    """The forms of one request, by the name of what answers it."""
    datatype = "INT64" if row.dtype == np.int64 else "FP32"
    tensor = {"name": "x", "shape": row.shape, "datatype": datatype}
    as_json = {"inputs": [{**tensor, "data": row.ravel().tolist()}]}
    header = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": row.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    header_bytes = json.dumps(header).encode()
    plain = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    path = f"/v2/models/{model}/infer"
    return {
        "naive": Shot("/predict", json.dumps({"data": row.tolist()}).encode(), plain),
        "HTTP JSON": Shot(path, json.dumps(as_json).encode(), plain),
        "HTTP binary": Shot(
            path,
            header_bytes + row.tobytes(),
            {
                "Content-Type": "application/octet-stream",
                "Accept-Encoding": "identity",
                "Inference-Header-Content-Length": str(len(header_bytes)),
            },
        ),
    }


def grpc_shot(model: str, row: np.ndarray) -> Shot:
    """The request as gRPC sends it: one frame of one message."""
    message = service_pb2.ModelInferRequest(model_name=model)
    datatype = "INT64" if row.dtype == np.int64 else "FP32"
    message.inputs.add(name="x", datatype=datatype, shape=row.shape)
    message.raw_input_contents.append(row.tobytes())
    content = message.SerializeToString()
    return Shot(
        "/inference.GRPCInferenceService/ModelInfer",
        struct.pack(">BI", 0, len(content)) + content,
        {"content-type": "application/grpc", "te": "trailers"},
        is_http2=True,
    )


def answer_of(name: str, url: str, shot: Shot) -> np.ndarray:
    """What a server answers to a shot over HTTP/1.1, as numbers."""
    reply = httpx.post(url + shot.path, content=shot.body, headers=shot.headers, timeout=60)
    reply.raise_for_status()
    if name == "naive":
        return np.array(reply.json()["data"], np.float32)
    if name == "HTTP JSON":
        (output,) = reply.json()["outputs"]
        return np.array(output["data"], np.float32).reshape(output["shape"])
    length = int(reply.headers["inference-header-content-length"])
    (output,) = json.loads(reply.content[:length])["outputs"]
    return np.frombuffer(reply.content[length:], np.float32).reshape(output["shape"])
