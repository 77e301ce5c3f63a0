import json
import socket

import ml_dtypes
import numpy as np
import pytest

from bundle import Datatype

VALUES = {
    "BOOL": [True, False, True],
    "UINT8": [0, 1, 255],
    "UINT16": [0, 1, 65535],
    "UINT32": [0, 1, 2**32 - 1],
    "UINT64": [0, 2**53 + 1, 2**64 - 1],
    "INT8": [-128, 0, 127],
    "INT16": [-32768, 0, 32767],
    "INT32": [-(2**31), 0, 2**31 - 1],
    "INT64": [-(2**63), 2**53 + 1, 2**63 - 1],
    "FP32": [0.1, -1e-45, 3.4e38],
    "FP64": [0.1, -5e-324, 1.7e308],
    "BYTES": ["é", "", "a\0b"],
}
FP32 = "/v2/models/identity-fp32/infer"


def tensor(datatype="FP32", data=(1, 2, 3), shape=(1, 3), **more):
    return {"name": "x", "shape": shape, "datatype": datatype, "data": data} | more


def ask(http, path=FP32, **fields):
    reply = http.post(path, json={"inputs": [tensor()]} | fields)
    assert reply.status_code == 200, reply.text
    return reply


def ask_binary(http, datatype, blob, *, shape=(1, 3), **fields):
    fields["inputs"] = [
        {"name": "x", "shape": shape, "datatype": datatype}
        | {"parameters": {"binary_data_size": len(blob)}}
    ]
    fields.setdefault("parameters", {"binary_data_output": True})
    text = json.dumps(fields, ensure_ascii=False).encode()
    reply = http.post(
        f"/v2/models/identity-{datatype.lower()}/infer",
        content=text + blob,
        headers={"Inference-Header-Content-Length": str(len(text))},
    )
    assert reply.status_code == 200, reply.text
    return reply


def split(reply):
    length = int(reply.headers["inference-header-content-length"])
    assert reply.headers["content-type"] == "application/octet-stream"
    return json.loads(reply.content[:length]), reply.content[length:]


@pytest.mark.parametrize("datatype", VALUES)
def test_json_comes_back_exactly(http, datatype):
    path = f"/v2/models/identity-{datatype.lower()}/infer"
    values = VALUES[datatype]
    if datatype == "FP32":
        values = [float(np.float32(v)) for v in values]
    reply = ask(http, path, inputs=[tensor(datatype, values)]).json()
    data = reply["outputs"][0].pop("data")
    if datatype == "FP32":
        data = [float(np.float32(v)) for v in data]
    assert data == values
    assert [type(v) for v in data] == [type(v) for v in values]
    assert reply == {
        "model_name": f"identity-{datatype.lower()}",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": datatype, "shape": [1, 3]}],
    }


@pytest.mark.parametrize("datatype", [d for d in Datatype if d is not Datatype.BYTES])
def test_binary_comes_back_bit_for_bit(http, datatype):
    blob = np.arange(3).astype(datatype.numpy)
    blob = (blob != 0).tobytes() if datatype is Datatype.BOOL else blob.tobytes()
    head, tail = split(ask_binary(http, datatype.value, blob))
    assert tail == blob
    assert head["outputs"][0] == {
        "name": "y",
        "datatype": datatype,
        "shape": [1, 3],
        "parameters": {"binary_data_size": len(blob)},
    }


def test_bytes_of_any_kind_come_back_as_binary(http):
    blob = b"\2\0\0\0\xff\0" + b"\0\0\0\0" + b"\4\0\0\0\x80\x81\x82\x83"
    _, tail = split(ask_binary(http, "BYTES", blob))
    assert tail == blob


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_not_a_number_and_infinities_pass_as_binary(http, datatype):
    dtype = Datatype(datatype).numpy
    values = np.array([np.nan, np.inf, -np.inf]).astype(dtype)
    _, tail = split(ask_binary(http, datatype, values.tobytes()))
    np.testing.assert_array_equal(
        np.frombuffer(tail, dtype).astype(np.float64), [np.nan, np.inf, -np.inf]
    )


def test_bfloat16_is_bfloat16(http):
    blob = np.array([1.0, -2.0, 3.140625], ml_dtypes.bfloat16).tobytes()
    assert split(ask_binary(http, "BF16", blob))[1] == blob


def test_a_value_that_json_cannot_carry_is_refused_with_the_way_out(http):
    blob = np.array([1, np.nan, 3], np.float32).tobytes()
    text = json.dumps(
        {"inputs": [tensor() | {"data": None, "parameters": {"binary_data_size": len(blob)}}]}
    ).encode()
    reply = http.post(
        FP32,
        content=text + blob,
        headers={"Inference-Header-Content-Length": str(len(text))},
    )
    assert reply.status_code == 400
    assert "binary_data" in reply.json()["error"]


def test_json_in_and_binary_out_needs_no_header_in_the_request(http):
    reply = ask(http, outputs=[{"name": "y", "parameters": {"binary_data": True}}])
    _, tail = split(reply)
    assert np.frombuffer(tail, np.float32).tolist() == [1, 2, 3]


def test_json_and_binary_outputs_share_a_reply(http):
    inputs = [tensor("INT32", [i, i], (1, 2)) | {"name": n} for i, n in ((5, "a"), (3, "b"))]
    reply = ask(
        http,
        "/v2/models/add/infer",
        inputs=inputs,
        outputs=[{"name": "m", "parameters": {"binary_data": True}}, {"name": "z"}],
    )
    head, tail = split(reply)
    assert [output["name"] for output in head["outputs"]] == ["z", "m"]
    assert head["outputs"][0]["data"] == [8, 8]
    assert np.frombuffer(tail, np.int32).tolist() == [2, 2]


@pytest.mark.parametrize("blob", [None, b""])
def test_an_empty_tensor_comes_back_empty(http, blob):
    if blob is None:
        output = ask(http, inputs=[tensor(data=[], shape=[0, 3])]).json()["outputs"][0]
        assert output["data"] == []
    else:
        reply = ask_binary(http, "FP32", blob, shape=[0, 3])
        assert "inference-header-content-length" not in reply.headers
        assert reply.headers["content-type"] == "application/json"
        output = reply.json()["outputs"][0]
        assert output["parameters"] == {"binary_data_size": 0}
    assert output["shape"] == [0, 3]


def test_a_scalar_comes_back(http):
    reply = ask(http, "/v2/models/scalar/infer", inputs=[tensor(data=[5], shape=[])]).json()
    assert reply["outputs"][0]["shape"] == []
    assert reply["outputs"][0]["data"] == [5.0]


@pytest.mark.parametrize("client_id", ["1", "é 漢字 😀 \"'\\\n", "x" * 500])
def test_an_id_comes_back_exactly_and_only_in_the_body(http, client_id):
    reply = ask(http, id=client_id)
    assert reply.json()["id"] == client_id
    assert reply.headers["x-request-id"] != client_id


def test_no_id_is_made_up(http):
    assert "id" not in ask(http).json()
    assert "id" not in ask(http, id="").json()


def test_a_json_header_is_counted_in_bytes_not_characters(http):
    blob = np.array([1, 2, 3], np.float32).tobytes()
    head, tail = split(ask_binary(http, "FP32", blob, id="漢字"))
    assert head["id"] == "漢字"
    assert tail == blob


@pytest.mark.parametrize(
    "content_type",
    [None, "application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"],
)
def test_the_content_type_of_a_request_says_nothing(http, content_type):
    body = json.dumps({"inputs": [tensor()]}).encode()
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert http.post(FP32, content=body, headers=headers).status_code == 200


def test_a_chunked_body_is_read_to_its_end(http):
    body = json.dumps({"inputs": [tensor()]}).encode()
    chunks = (body[i : i + 7] for i in range(0, len(body), 7))
    assert http.post(FP32, content=chunks).status_code == 200


def test_a_client_that_expects_to_be_told_to_go_on_is(url):
    body = json.dumps({"inputs": [tensor()]}).encode()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"POST {FP32} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_raw_request_is_the_only_inputs_bytes(http):
    blob = np.arange(6, dtype=np.float32).tobytes()
    reply = http.post(FP32, content=blob, headers={"Inference-Header-Content-Length": "0"})
    head, tail = split(reply)
    assert head["outputs"][0]["shape"] == [2, 3]
    assert tail == blob


def test_a_request_without_a_version_is_for_the_highest_number(http):
    inputs = [tensor(data=[1, 1], shape=[1, 2])]
    reply = ask(http, "/v2/models/versions/infer", inputs=inputs).json()
    assert reply["model_version"] == "10"
    assert reply["outputs"][0]["data"] == [10, 10]


@pytest.mark.parametrize("version", [2, 9, 10])
def test_a_request_for_a_version_is_answered_by_it(http, version):
    inputs = [tensor(data=[1, 1], shape=[1, 2])]
    reply = ask(http, f"/v2/models/versions/versions/{version}/infer", inputs=inputs).json()
    assert reply["model_version"] == str(version)
    assert reply["outputs"][0]["data"] == [version, version]


def test_a_newest_version_that_failed_leaves_the_one_before_it_answering(http):
    inputs = [tensor(data=[1, 1], shape=[1, 2])]
    reply = ask(http, "/v2/models/fallback/infer", inputs=inputs).json()
    assert reply["model_version"] == "1"
    reply = http.post("/v2/models/fallback/versions/2/infer", json={"inputs": inputs})
    assert reply.status_code == 503
    assert "golden sample" in reply.json()["error"]


def test_a_model_that_could_not_be_loaded_says_why(http):
    for reply in (
        http.post("/v2/models/broken/infer", json={"inputs": [tensor()]}),
        http.get("/v2/models/broken"),
        http.get("/v2/models/broken/ready"),
    ):
        assert reply.status_code == 503
        assert "no ONNX model" in reply.json()["error"]


def test_a_model_may_be_called_like_a_route(http):
    assert "model_stats" in http.get("/v2/models/stats").json()  # the protocol's, as Triton has it
    assert http.get("/v2/models/stats/versions/1").json()["name"] == "stats"
    inputs = [tensor(data=[1, 1], shape=[1, 2])]
    assert ask(http, "/v2/models/stats/infer", inputs=inputs).json()["outputs"][0]["data"] == [3, 3]


def test_an_error_leaves_the_connection_usable(http, url):
    with socket.create_connection(url.removeprefix("http://").split(":"), timeout=10) as connection:
        for body, status in ((b"{", b"400"), (json.dumps({"inputs": [tensor()]}).encode(), b"200")):
            connection.sendall(
                f"POST {FP32} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert connection.recv(10_000).startswith(b"HTTP/1.1 " + status)
