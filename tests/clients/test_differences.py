"""The table of differences from Triton in docs/protocol.md: a test for each row, found by topic."""

import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import pytest

from service.grpc.schema import SERVICE, message
from tests.clients import networks
from tests.clients.process import ROOT, served
from tests.service import tiny

PAGE = (ROOT / "docs" / "protocol.md").read_text()
INFER = "/v2/models/identity-fp32/infer"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
GOOD = {"inputs": [TENSOR]}
TWELVE = np.arange(3, dtype=np.float32).tobytes()
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND

ROWS = {}


def row(topic):
    """Marks the test of a row."""

    def remember(test):
        ROWS[topic] = test
        return test

    return remember


def test_every_row_has_a_test_and_every_test_a_row():
    table = PAGE.partition("## Differences from Triton")[2].partition("\n## ")[0]
    topics = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    assert topics == ["topic", *ROWS]


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, headers={"Accept-Encoding": "identity"}) as client:
        yield client


@pytest.fixture(scope="module")
def call(server):
    with grpc.insecure_channel(server.grpc) as channel:

        def ask(method, made):
            answer = message(SERVICE.methods_by_name[method].output_type.name)
            return channel.unary_unary(
                f"/{SERVICE.full_name}/{method}",
                request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=answer.FromString,
            )(made, timeout=20)

        yield ask


def refused(call, method, made):
    with pytest.raises(grpc.RpcError) as caught:
        call(method, made)
    return caught.value.code()


def typed(model="identity-fp32", datatype="FP32", **contents):
    made = message("ModelInferRequest")(model_name=model)
    tensor = made.inputs.add(name="x", datatype=datatype, shape=[1, 3])
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return made


def raw(*blobs):
    made = typed()
    made.raw_input_contents.extend(blobs)
    return made


@row("bodies of health and ready")
def test_health_and_ready_have_bodies(http):
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get("/v2/models/add/ready").json() == {"name": "add", "ready": True}


@row("server not ready")
def test_a_server_that_is_not_ready_says_why(tmp_path):
    tiny.write_plain(tmp_path, "broken", b"no model")
    with served(tmp_path, is_ready=False) as running:
        reply = httpx.get(f"{running.url}/v2/health/ready")
    assert reply.status_code == 503
    assert "broken version 1 is UNAVAILABLE" in reply.json()["error"]


@row("model not there, asked whether it is ready")
def test_a_model_that_is_not_there_is_not_ready(http, call):
    assert http.get("/v2/models/nobody/ready").status_code == 404
    assert not call("ModelReady", message("ModelReadyRequest")(name="nobody")).ready


@row("trailing slash")
def test_only_the_server_has_a_trailing_slash(http):
    assert http.get("/v2/").json() == http.get("/v2").json()
    assert http.get("/v2/models/add/").status_code == 404


@row("HEAD")
def test_head_is_get_without_the_body(http):
    reply = http.head("/v2/models/add")
    assert (reply.status_code, reply.content) == (200, b"")


@row("malformed JSON, a wrong JSON type")
def test_json_that_is_wrong_is_the_clients_fault(http):
    assert http.post(INFER, content=b"{").status_code == 400
    reply = http.post(INFER, json={"inputs": {}})
    assert reply.status_code == 400
    assert reply.json()["error"] == "the request needs 'inputs', an array; got an object"


@row("a name twice in one JSON object")
def test_a_name_twice_is_refused(http):
    reply = http.post(INFER, content=b'{"id": "a", "id": "b", "inputs": []}')
    assert reply.status_code == 400
    assert "same name twice" in reply.json()["error"]


@row("an empty body")
def test_an_empty_body_is_refused(http):
    assert http.post(INFER).status_code == 400
    assert http.post(INFER, headers={"Inference-Header-Content-Length": "0"}).status_code == 400


@row("integers beyond their type")
def test_integers_beyond_their_type_are_refused(http, call):
    tensor = TENSOR | {"datatype": "INT8", "data": [1, 300, 2]}
    reply = http.post("/v2/models/identity-int8/infer", json={"inputs": [tensor]})
    assert reply.status_code == 400
    assert "300" in reply.json()["error"]
    made = typed("identity-int8", "INT8", int_contents=[1, 300, 2])
    assert refused(call, "ModelInfer", made) is INVALID


@row("data nested other than the shape")
def test_data_nested_other_than_the_shape_is_refused(http):
    reply = http.post(INFER, json={"inputs": [TENSOR | {"data": [[1], [2, 3]]}]})
    assert reply.status_code == 400
    assert "nested other than its shape" in reply.json()["error"]


@row("NaN and infinities in JSON")
def test_json_has_no_nan_in_either_direction_and_binary_has(http):
    body = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,NaN,3]}]}'
    assert http.post(INFER, content=body).status_code == 400
    nan = np.full(3, np.nan, np.float32).tobytes()
    header = {"Inference-Header-Content-Length": "0"}
    assert http.post(INFER, content=nan, headers=header).content.endswith(nan)
    asked = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    text = httpx.Request(
        "POST", "http://x", json={"inputs": [asked | {"parameters": {"binary_data_size": 12}}]}
    ).content
    header = {"Inference-Header-Content-Length": str(len(text))}
    reply = http.post(INFER, content=text + nan, headers=header)
    assert reply.status_code == 400
    assert "JSON has no such number" in reply.json()["error"]


@row("scalars")
def test_scalars_are_served(http):
    tensor = {"name": "x", "shape": [], "datatype": "FP32", "data": [2.5]}
    (output,) = http.post("/v2/models/scalar/infer", json={"inputs": [tensor]}).json()["outputs"]
    assert (output["shape"], output["data"]) == ([], [2.5])


@row("unknown content coding")
def test_an_unknown_content_coding_is_415(http):
    reply = http.post(INFER, content=b"{}", headers={"Content-Encoding": "br"})
    assert reply.status_code == 415
    assert reply.headers["Accept-Encoding"] == "gzip, deflate"


@row("a body that is not in its content coding")
def test_a_body_that_is_not_in_its_coding_is_refused(http):
    assert http.post(INFER, json=GOOD, headers={"Content-Encoding": "gzip"}).status_code == 400


@row("a body that is too large")
def test_a_body_that_is_too_large_is_413(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    with (
        served(tmp_path, max_request_bytes=100_000) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        assert httpx.post(f"{running.url}{INFER}", content=bytes(100_001)).status_code == 413
        infer = channel.unary_unary(f"/{SERVICE.full_name}/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            infer(raw(bytes(2 * 2**20)).SerializeToString(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@row("outputs listed while `binary_data_output` is true")
def test_listed_outputs_are_binary_where_that_is_the_default(http):
    body = GOOD | {"outputs": [{"name": "y"}], "parameters": {"binary_data_output": True}}
    reply = http.post(INFER, json=body)
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert "Inference-Header-Content-Length" in reply.headers


@row("classes of a model without `max_batch_size`")
def test_each_row_has_its_own_ranking(http):
    tensor = TENSOR | {"shape": [2, 3], "data": [1, 2, 3, 9, 8, 7]}
    body = {"inputs": [tensor], "outputs": [{"name": "y", "parameters": {"classification": 1}}]}
    (output,) = http.post(INFER, json=body).json()["outputs"]
    assert (output["shape"], output["data"]) == ([2, 1], ["3.000000:2", "9.000000:0"])


@row("more `raw_input_contents` than inputs")
def test_more_raw_contents_than_inputs_are_refused(call):
    assert refused(call, "ModelInfer", raw(TWELVE, b"more")) is INVALID


@row("an empty `contents` beside raw contents")
def test_an_empty_contents_beside_raw_ones_is_taken(call):
    made = raw(TWELVE)
    made.inputs[0].contents.SetInParent()
    assert call("ModelInfer", made).raw_output_contents[0] == TWELVE


@row("statistics of a model that is not there")
def test_statistics_of_a_model_that_is_not_there_are_not_found(http, call):
    assert http.get("/v2/models/nobody/stats").status_code == 404
    made = message("ModelStatisticsRequest")(name="nobody")
    assert refused(call, "ModelStatistics", made) is NOT_FOUND


@row("load of a model that is not there")
def test_a_model_that_is_not_there_is_not_found_when_loaded(http, call):
    assert http.post("/v2/repository/models/nobody/load").status_code == 404
    made = message("RepositoryModelLoadRequest")(model_name="nobody")
    assert refused(call, "RepositoryModelLoad", made) is NOT_FOUND


@row("the index's `reason`")
def test_the_index_always_has_a_reason(http):
    index = http.post("/v2/repository/index").json()
    assert {entry["reason"] for entry in index if entry["name"] == "add"} == {""}


@row("load and unload in the mode `poll`")
def test_models_are_loaded_and_unloaded_while_the_repository_is_watched(tmp_path):
    tiny.write_plain(tmp_path, "scalar", tiny.identity(tiny.Datatype.FP32, []))
    with (
        served(tmp_path, model_control="poll") as running,
        httpx.Client(base_url=f"{running.url}/v2") as client,
    ):
        for operation, status in (("unload", 404), ("load", 200)):
            assert client.post(f"/repository/models/scalar/{operation}").status_code == 200
            assert client.get("/models/scalar/ready").status_code == status


@row("unload")
def test_an_unload_answers_once_the_requests_have_their_answers(tmp_path):
    tiny.write_plain(tmp_path, "slow", tiny.slow(8 * networks.SLOW))
    body = {"inputs": [TENSOR | {"shape": [3]}]}
    with (
        served(tmp_path) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
        ThreadPoolExecutor() as pool,
    ):
        asked = pool.submit(client.post, "/v2/models/slow/infer", json=body)
        is_there = re.compile(r"^nv_inference_pending_request_count\{.*\} 1\.0$", re.MULTILINE)
        tiny.wait_for(lambda: is_there.search(client.get("/metrics").text))
        assert client.post("/v2/repository/models/slow/unload").status_code == 200
        is_underway = 1  # s; the answer is sent already, and the run takes some four
        assert asked.result(timeout=is_underway).status_code == 200


@row("a repository's name in load, unload or index")
def test_no_repository_has_a_name(http, call):
    for path in ("index", "models/add/load", "models/add/unload"):
        assert http.post(f"/v2/repository/other/{path}").status_code == 404
    made = message("RepositoryModelLoadRequest")(repository_name="other", model_name="add")
    assert refused(call, "RepositoryModelLoad", made) is NOT_FOUND


@row("metadata")
def test_metadata_have_what_is_known_of_the_model(http):
    assert http.get("/v2/models/add").json()["properties"]["state"] == "READY"


@row("trace settings")
def test_traces_go_to_opentelemetry_or_nowhere(http):
    assert http.get("/v2/trace/setting").json()["trace_mode"] == "opentelemetry"
    reply = http.post("/v2/trace/setting", json={"trace_level": ["TIMESTAMPS"]})
    assert reply.status_code == 400
    assert "NORMSERVE_OTEL_ENDPOINT" in reply.json()["error"]
    assert http.post("/v2/trace/setting", json={"trace_file": "x"}).status_code == 400


@row("shared memory that is off")
def test_shared_memory_is_forbidden_where_it_is_off(http):
    path = "/v2/systemsharedmemory"
    region = {"key": "/region", "byte_size": 16}
    assert http.post(f"{path}/region/r/register", json=region).status_code == 403
    assert http.get(f"{path}/status").json() == []


@row("`/metrics`")
def test_the_port_of_http_has_the_metrics_too(http):
    assert "nv_inference_request_success" in http.get("/metrics").text


@row("generate with nested arrays")
def test_generate_takes_nested_arrays(http):
    reply = http.post("/v2/models/identity-fp32/generate", json={"x": [[1, 2, 3], [4, 5, 6]]})
    assert reply.json()["y"] == [1, 2, 3, 4, 5, 6]
