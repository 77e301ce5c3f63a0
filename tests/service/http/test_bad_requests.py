"""Every malformed request of the protocol's checklist: refused in its form, and then served again.

The names are those of the checklist that was run against other servers.
"""

import gzip
import json
import zlib

import pytest

GOOD = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
ADD = "/v2/models/add/infer"
FP32 = "/v2/models/identity-fp32/infer"


def with_input(**change):
    fields = {k: v for k, v in (GOOD["inputs"][0] | change).items() if v is not ...}
    return {"inputs": [fields]}


def of(datatype, data, shape=(1, 3)):
    return (
        f"/v2/models/identity-{datatype.lower()}/infer",
        {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]},
    )


def two(*names, **change):
    fields = {"shape": [1, 2], "datatype": "INT32", "data": [1, 2]}
    inputs = [{"name": name} | fields for name in names]
    inputs[-1] |= change
    return {"inputs": inputs}


JSON_CASES = {
    "unknown_model_infer": ("/v2/models/nobody/infer", GOOD, 404),
    "unknown_version_infer": ("/v2/models/identity-fp32/versions/7/infer", GOOD, 404),
    "nonnumeric_version": ("/v2/models/identity-fp32/versions/abc/infer", GOOD, 404),
    "version_zero": ("/v2/models/identity-fp32/versions/0/infer", GOOD, 404),
    "version_beyond_all_numbers": (f"/v2/models/add/versions/{'9' * 5000}/infer", GOOD, 404),
    "bad_json": (FP32, b'{"inputs": [', 400),
    "not_utf8": (FP32, b'{"id": "\xff"}', 400),
    "empty_body": (FP32, b"", 400),
    "json_array": (FP32, [GOOD], 400),
    "json_null": (FP32, b"null", 400),
    "no_inputs": (FP32, {"id": "a"}, 400),
    "inputs_is_object": (FP32, {"inputs": GOOD["inputs"][0]}, 400),
    "inputs_empty": (FP32, {"inputs": []}, 400),
    "input_is_string": (FP32, {"inputs": ["x"]}, 400),
    "missing_input": (ADD, two("a"), 400),
    "extra_input": (ADD, two("a", "b", "c"), 400),
    "wrong_input_name": (ADD, two("a", "q"), 400),
    "duplicate_input": (ADD, two("a", "b", "b"), 400),
    "wrong_dtype": (FP32, with_input(datatype="FP64"), 400),
    "unknown_dtype": (FP32, with_input(datatype="FLOAT"), 400),
    "lowercase_dtype": (FP32, with_input(datatype="fp32"), 400),
    "wrong_shape": (FP32, with_input(shape=[1, 4], data=[1, 2, 3, 4]), 400),
    "wrong_rank": (FP32, with_input(shape=[3]), 400),
    "too_few_elements": (FP32, with_input(data=[1, 2]), 400),
    "too_many_elements": (FP32, with_input(data=[1, 2, 3, 4]), 400),
    "negative_dim": (FP32, with_input(shape=[-1, 3]), 400),
    "fractional_dim": (FP32, with_input(shape=[1.5, 3]), 400),
    "string_dim": (FP32, with_input(shape=["1", 3]), 400),
    "overflow_shape": (FP32, with_input(shape=[2**62, 3]), 400),
    "huge_shape": (FP32, with_input(shape=[10**12, 3]), 400),
    "string_in_fp32": (FP32, with_input(data=[1, "2", 3]), 400),
    "null_in_fp32": (FP32, with_input(data=[1, None, 3]), 400),
    "data_is_number": (FP32, with_input(data=7), 400),
    "data_is_object": (FP32, with_input(data={"0": 1}), 400),
    "no_data": (FP32, with_input(data=...), 400),
    "no_shape": (FP32, with_input(shape=...), 400),
    "no_name": (FP32, with_input(name=...), 400),
    "no_datatype": (FP32, with_input(datatype=...), 400),
    "uint8_negative": (*of("UINT8", [1, -1, 2]), 400),
    "fraction_in_int32": (*of("INT32", [1, 1.5, 2]), 400),
    "int8_overflow": (*of("INT8", [1, 300, 2]), 400),
    "uint64_overflow": (*of("UINT64", [1, 2**64, 2]), 400),
    "int64_underflow": (*of("INT64", [1, -(2**63) - 1, 2]), 400),
    "number_in_bytes": (*of("BYTES", ["a", 1, "b"]), 400),
    "string_in_bool": (*of("BOOL", [True, "true", False]), 400),
    "number_in_bool": (*of("BOOL", [True, 1, False]), 400),
    "fp16_in_json": (*of("FP16", [1, 2, 3]), 400),
    "bf16_in_json": (*of("BF16", [1, 2, 3]), 400),
    "unknown_output": (FP32, GOOD | {"outputs": [{"name": "nobody"}]}, 400),
    "outputs_is_string": (FP32, GOOD | {"outputs": "y"}, 400),
    "output_without_name": (FP32, GOOD | {"outputs": [{}]}, 400),
    "id_is_number": (FP32, GOOD | {"id": 7}, 400),
    "parameters_is_list": (FP32, GOOD | {"parameters": [1]}, 400),
    "parameter_is_object": (FP32, GOOD | {"parameters": {"a": {}}}, 400),
    "deep_nesting": (FP32, b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "deep_data": (FP32, b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":'
                  + b"[" * 900 + b"]" * 900 + b"}]}", 400),
    "number_out_of_range": (
        FP32,
        b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,1e999,3]}]}',
        400,
    ),
    "number_beyond_fp32": (FP32, with_input(data=[1, 1e39, 3]), 400),
    "nan_token": (FP32, json.dumps(with_input(data=[1, float("nan"), 3])).encode(), 400),
    "repeated_name": (FP32, b'{"inputs": [], ' + json.dumps(GOOD).encode()[1:], 400),
    "ragged_nesting": (FP32, with_input(shape=[2, 3], data=[[1, 2, 3, 4], [5, 6]]), 400),
    "index_out_of_range": (
        "/v2/models/embedding/infer",
        {"inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [0, 99]}]},
        400,
    ),
}  # fmt: skip


def assert_error(reply, status):
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert body.keys() == {"error"}
    assert body["error"]
    assert len(body["error"]) < 1000


def assert_still_served(http):
    reply = http.post(FP32, json=GOOD)
    assert reply.status_code == 200
    assert reply.json()["outputs"][0]["data"] == [1, 2, 3]


@pytest.mark.parametrize(("path", "body", "status"), JSON_CASES.values(), ids=JSON_CASES)
def test_a_malformed_json_request_is_refused_and_the_next_good_one_answered(
    http, path, body, status
):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert_error(http.post(path, content=content), status)
    assert_still_served(http)


def binary(size=12, tail=bytes(12), *, length=None, model="identity-fp32", **change):
    datatype = model.removeprefix("identity-").upper()
    tensor = {"name": "x", "shape": [1, 3], "datatype": datatype}
    tensor |= {"parameters": {"binary_data_size": size}} | change
    text = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text) if length is None else length)}
    return f"/v2/models/{model}/infer", text + tail, headers


def without_header():
    path, body, _ = binary()
    return path, body, {}


def strings(tail):
    return binary(len(tail), tail, model="identity-bytes")


def raw(model, body):
    return f"/v2/models/{model}/infer", body, {"Inference-Header-Content-Length": "0"}


def coded(coding, body):
    return FP32, body, {"Content-Encoding": coding}


PACKED = gzip.compress(json.dumps(GOOD).encode())

BINARY_CASES = {
    "short_body": (binary(tail=bytes(11)), 400),
    "extra_body": (binary(tail=bytes(13)), 400),
    "size_differs_from_shape": (binary(8, bytes(8)), 400),
    "data_and_binary": (binary(data=[1, 2, 3]), 400),
    "ihcl_missing": (without_header(), 400),
    "ihcl_negative": (binary(length=-5), 400),
    "ihcl_not_a_number": (binary(length="many"), 400),
    "ihcl_with_an_underscore": (binary(length="1_0"), 400),
    "ihcl_with_a_sign": (binary(length="+100"), 400),
    "ihcl_too_big": (binary(length=10_000), 400),
    "ihcl_too_small": (binary(length=20), 400),
    "ihcl_huge": (binary(length=10**30), 400),
    "binary_data_size_negative": (binary(-12), 400),
    "binary_data_size_string": (binary("12"), 400),
    "bytes_prefix_past_end": (strings(b"\xff\0\0\0a" + b"\1\0\0\0b" * 2), 400),
    "bytes_too_few_elements": (strings(b"\1\0\0\0a" * 2), 400),
    "bytes_trailing_garbage": (strings(b"\1\0\0\0a" * 3 + b"x"), 400),
    "bool_byte_of_two": (binary(3, b"\0\1\2", model="identity-bool"), 400),
    "raw_request_bad_length": (raw("identity-fp32", bytes(11)), 400),
    "raw_request_empty": (raw("identity-fp32", b""), 400),
    "raw_request_two_inputs": (raw("add", bytes(16)), 400),
    "raw_request_two_dynamic_dimensions": (raw("two-dynamic", bytes(16)), 400),
    "bad_gzip": (coded("gzip", json.dumps(GOOD).encode()), 400),
    "bad_gzip_of_a_raw_request": (
        (FP32, b"no gzip", {"Content-Encoding": "gzip", "Inference-Header-Content-Length": "0"}),
        400,
    ),
    "truncated_gzip": (coded("gzip", PACKED[:-9]), 400),
    "empty_gzip": (coded("gzip", b""), 400),
    "gzip_and_more": (coded("gzip", PACKED + b"x"), 400),
    "deflate_without_zlib": (coded("deflate", zlib.compress(b"{}")[2:-4]), 400),
    "unknown_content_encoding": (coded("br", b"{}"), 415),
    "two_content_encodings": (coded("gzip, gzip", gzip.compress(PACKED)), 415),
    "gzip_bomb": (coded("gzip", gzip.compress(bytes(2**24))), 413),
    "body_over_the_limit": ((FP32, bytes(2**20 + 1), {}), 413),
}


@pytest.mark.parametrize(("request_", "status"), BINARY_CASES.values(), ids=BINARY_CASES)
def test_a_malformed_body_is_refused_and_the_next_good_one_answered(http, request_, status):
    path, body, headers = request_
    assert_error(http.post(path, content=body, headers=headers), status)
    assert_still_served(http)


def test_a_chunked_body_over_the_limit_is_refused(http):
    chunks = (bytes(2**16) for _ in range(32))
    assert_error(http.post(FP32, content=chunks), 413)
    assert_still_served(http)


def test_an_unknown_encoding_is_told_which_there_are(http):
    reply = http.post(FP32, content=b"{}", headers={"Content-Encoding": "br"})
    assert reply.headers["accept-encoding"] == "gzip, deflate"


ROUTE_CASES = {
    "unknown_model_metadata": ("GET", "/v2/models/nobody", 404),
    "unknown_version_metadata": ("GET", "/v2/models/identity-fp32/versions/7", 404),
    "nonnumeric_version_metadata": ("GET", "/v2/models/identity-fp32/versions/x", 404),
    "unknown_model_ready": ("GET", "/v2/models/nobody/ready", 404),
    "unknown_route": ("GET", "/v2/nothing/here", 404),
    "root": ("GET", "/", 404),
    "trailing_slash": ("GET", "/v2/models/identity-fp32/", 404),
    "other_case": ("GET", "/V2/health/live", 404),
    "name_with_a_slash": ("GET", "/v2/models/identity-fp32%2Fready", 200),
    "name_with_an_encoded_slash": ("GET", "/v2/models/a%2Fb", 404),
    "name_of_dots": ("GET", "/v2/models/..%2f..%2fetc", 404),
    "name_with_a_null": ("GET", "/v2/models/a%00b", 404),
    "get_on_infer": ("GET", FP32, 405),
    "put_on_infer": ("PUT", FP32, 405),
    "post_on_metadata": ("POST", "/v2/models/identity-fp32", 405),
    "delete_on_health": ("DELETE", "/v2/health/live", 405),
    "get_on_index": ("GET", "/v2/repository/index", 405),
    "options": ("OPTIONS", FP32, 405),
}


@pytest.mark.parametrize(("method", "path", "status"), ROUTE_CASES.values(), ids=ROUTE_CASES)
def test_a_wrong_path_or_method_is_refused(http, method, path, status):
    reply = http.request(method, path)
    if status != 200:
        assert_error(reply, status)
    assert reply.status_code == status
    if status == 405:
        assert reply.headers["allow"] in ("GET", "POST")
    assert_still_served(http)


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/v2/nothing", "there is no route '/v2/nothing'; the HTTP port lists"),
        ("GET", "/v2/a%0d%0ab", "there is no route '/v2/a\\r\\nb';"),
        ("PUT", FP32, f"'{FP32}' does not take PUT; it takes POST"),
        ("DELETE", "/v2", "'/v2' does not take DELETE; it takes GET"),
    ],
)
def test_a_wrong_path_or_method_is_told_what_there_is(http, method, path, said):
    assert said in http.request(method, path).json()["error"]


@pytest.mark.parametrize("path", [FP32, "/v2/" + "n" * 10_000])
def test_a_long_value_is_not_sent_back_whole(http, path):
    reply = http.post(path, json=with_input(name="n" * 100_000))
    assert_error(reply, 400 if path == FP32 else 404)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}', b'{"ready": "yes"}'])
def test_a_malformed_index_request_is_refused(http, body):
    assert_error(http.post("/v2/repository/index", content=body), 400)
