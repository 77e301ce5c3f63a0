"""The clients of KServe's SDK, unchanged: REST (protocol v2) and gRPC."""

import asyncio
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

TYPES = {
    "BOOL": np.array([[True, False, True]]),
    "UINT8": np.array([[0, 255, 1]], np.uint8),
    "UINT64": np.array([[0, 2**64 - 1, 1]], np.uint64),
    "INT8": np.array([[-128, 127, 0]], np.int8),
    "INT64": np.array([[-(2**63), 2**63 - 1, 0]]),
    "FP32": np.array([[0.1, -2.5, 3e38]], np.float32),
    "FP64": np.array([[0.1, -2.5, 1e300]]),
    "BYTES": np.array([[b"plain", "\u00e9\U0001f40d".encode(), b""]], object),
}


def request(model, array, datatype, *, binary, **more):
    tensor = InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor], **more)


def rest(server, ask):
    async def run():
        async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
            return await ask(client, server["url"])

    return asyncio.run(run())


def grpc_(server, ask):
    async def run():
        async with InferenceGRPCClient(server["grpc"]) as client:
            return await ask(client)

    return asyncio.run(run())


def test_the_version_is_the_one_that_was_meant():
    assert importlib.metadata.version("kserve") == "0.21.0"


def test_health_over_rest(server):
    async def ask(client, url):
        return [
            await client.is_server_live(url),
            await client.is_server_ready(url),
            await client.is_model_ready(url, "add"),
            await client.is_model_ready(url, "nobody"),
        ]

    assert rest(server, ask) == [True, True, True, False]


def test_health_over_grpc(server):
    async def ask(client):
        return [
            await client.is_server_live(),
            await client.is_server_ready(),
            await client.is_model_ready("add"),
            await client.is_model_ready("nobody"),
        ]

    assert grpc_(server, ask) == [True, True, True, False]


@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_goes_both_ways_over_rest(server, datatype, binary, binary_out):
    sent = TYPES[datatype]
    model = f"identity-{datatype.lower()}"
    parameters = {} if binary_out is None else {"binary_data_output": binary_out}
    made = request(
        model, sent, datatype, binary=binary, request_id="\u0436-1", parameters=parameters
    )

    async def ask(client, url):
        return await client.infer(url, made, model_name=model)

    reply = rest(server, ask)
    assert reply.id == "\u0436-1"
    assert reply.model_name == model
    assert same(reply.outputs[0].as_numpy(), sent)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_goes_both_ways_over_grpc(server, datatype, binary):
    sent = TYPES[datatype]
    made = request(f"identity-{datatype.lower()}", sent, datatype, binary=binary, request_id="7")

    async def ask(client):
        return await client.infer(made)

    reply = grpc_(server, ask)
    assert reply.id == "7"
    assert same(reply.outputs[0].as_numpy(), sent)


def same(got, sent):
    if sent.dtype == object:
        texts = [item if isinstance(item, bytes) else item.encode() for item in got.ravel()]
        return texts == list(sent.ravel())
    return got.astype(sent.dtype).tobytes() == sent.tobytes() and got.shape == sent.shape


def test_half_precision_goes_both_ways_as_binary(server):
    sent = np.array([[0.5, -2, 65504]], np.float16)
    made = request(
        "identity-fp16",
        sent,
        "FP16",
        binary=True,
        parameters={"binary_data_output": True},
    )

    async def ask(client, url):
        return await client.infer(url, made, model_name="identity-fp16")

    assert same(rest(server, ask).outputs[0].as_numpy(), sent)


def test_a_plain_dictionary_is_answered(server):
    body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}

    async def ask(client, url):
        return await client.infer(url, body, model_name="identity-fp32")

    assert rest(server, ask).outputs[0].data == [1, 2, 3]


def test_an_error_reaches_the_caller_with_its_message(server):
    made = request("nobody", TYPES["FP32"], "FP32", binary=False)

    async def ask(client, url):
        return await client.infer(url, made, model_name="nobody")

    with pytest.raises(httpx.HTTPStatusError, match="no model 'nobody', '404 Not Found'"):
        rest(server, ask)

    async def ask_grpc(client):
        return await client.infer(made)

    with pytest.raises(grpc.RpcError) as caught:
        grpc_(server, ask_grpc)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_program_of_the_documents_prints_a_shape(server):
    page = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
    (program,) = (
        text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "kserve" in text
    )
    done = subprocess.run(
        [sys.executable, "-c", program.replace("127.0.0.1:8000", server["http"])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[1, 10]\n", done.stderr
