"""What only Triton's HTTP clients do: JSON tensors, compression, query parameters, raw bodies."""

import gzip

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from bundle import Datatype
from tests.clients.networks import values
from tests.clients.triton import connected

JSON_TYPES = [d for d in Datatype if d not in (Datatype.FP16, Datatype.BF16)]
CODINGS = [None, "gzip", "deflate"]


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("datatype", JSON_TYPES)
def test_every_datatype_that_json_has_goes_both_ways(http_client, datatype, binary_out):
    sent = values(datatype)
    result = http_client.ask(
        "infer",
        f"identity-{datatype.lower()}",
        [http_client.tensor(sent, binary=False)],
        outputs=[http_client.wanted(binary=binary_out)],
    )
    got = result.as_numpy("y").ravel().tolist()
    if datatype is Datatype.BYTES:  # strings from JSON, bytes from binary data
        got = [item.encode() if isinstance(item, str) else item for item in got]
    assert got == sent.ravel().tolist()


def test_numbers_that_json_lacks_come_as_binary_and_are_refused_as_json(http_client):
    sent = np.array([[np.nan, np.inf, -0.0]], np.float32)
    tensor = http_client.tensor(sent)
    got = http_client.ask("infer", "identity-fp32", [tensor]).as_numpy("y")
    assert got.tobytes() == sent.tobytes()
    with pytest.raises(InferenceServerException, match="JSON has no such number"):
        http_client.ask(
            "infer", "identity-fp32", [tensor], outputs=[http_client.wanted(binary=False)]
        )


@pytest.mark.parametrize("datatype", [Datatype.FP16, Datatype.BF16])
def test_half_precision_is_refused_as_json_output(http_client, datatype):
    tensor = http_client.tensor(values(datatype))
    with pytest.raises(InferenceServerException, match=f"{datatype}, which JSON cannot carry"):
        http_client.ask(
            "infer",
            f"identity-{datatype.lower()}",
            [tensor],
            outputs=[http_client.wanted(binary=False)],
        )


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("response", CODINGS)
@pytest.mark.parametrize("request_", CODINGS)
def test_compression_goes_both_ways(http_client, request_, response, binary):
    sent = np.arange(30_000, dtype=np.float32).reshape(-1, 3)
    result = http_client.ask(
        "infer",
        "identity-fp32",
        [http_client.tensor(sent, binary=binary)],
        outputs=[http_client.wanted(binary=binary)],
        request_compression_algorithm=request_,
        response_compression_algorithm=response,
    )
    np.testing.assert_array_equal(result.as_numpy("y"), sent)


def test_query_parameters_change_nothing(http_client):
    query = {"a": "b c", "x": 1}
    assert http_client.ask("is_server_ready", query_params=query)
    assert http_client.ask("get_model_metadata", "add", query_params=query)["name"] == "add"
    tensor = http_client.tensor(values(Datatype.FP32))
    http_client.ask("infer", "identity-fp32", [tensor], query_params=query)


def test_answers_to_asynchronous_requests_are_each_ones_own(server):
    with triton.InferenceServerClient(server.http, concurrency=8) as client:
        pending = []
        for number in range(64):
            tensor = triton.InferInput("x", [1, 3], "FP32")
            tensor.set_data_from_numpy(np.full((1, 3), number, np.float32), bool(number % 2))
            pending.append(client.async_infer("identity-fp32", [tensor], request_id=str(number)))
        wrong = client.async_infer("nobody", [tensor])
        for number, request in enumerate(pending):
            result = request.get_result(timeout=60)
            assert result.as_numpy("y").tolist() == [[number] * 3]
            assert result.get_response()["id"] == str(number)
        with pytest.raises(InferenceServerException, match="nobody"):
            wrong.get_result()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_body_that_the_client_made_and_somebody_else_sent_is_answered(server, binary, coding):
    tensor = triton.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 2, 3]], np.float32), binary)
    body, length = triton.InferenceServerClient.generate_request_body(
        [tensor], outputs=[triton.InferRequestedOutput("y", binary_data=binary)], request_id="7"
    )
    headers = {"Accept-Encoding": "identity"}
    if length is not None:
        headers["Inference-Header-Content-Length"] = str(length)
    if coding:
        body, headers["Content-Encoding"] = gzip.compress(bytes(body)), coding
    url = f"{server.url}/v2/models/identity-fp32/infer"
    reply = httpx.post(url, content=bytes(body), headers=headers)
    assert reply.status_code == 200
    told = reply.headers.get("Inference-Header-Content-Length")
    result = triton.InferenceServerClient.parse_response_body(
        reply.content, header_length=None if told is None else int(told)
    )
    assert result.as_numpy("y").tolist() == [[1, 2, 3]]
    assert result.get_response()["id"] == "7"


def test_an_error_has_its_status(server):
    with connected("http", server.http) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.ask("get_model_metadata", "nobody")
        assert caught.value.status() == "404"
        with pytest.raises(InferenceServerException) as caught:
            client.ask("infer", "identity-fp32", [client.tensor(np.ones((1, 4), np.float32))])
        assert caught.value.status() == "400"
