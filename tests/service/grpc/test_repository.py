"""Models that are loaded and unloaded over gRPC, in every client's form of the message."""

import json

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from service.grpc.schema import SERVICE, message
from service.settings import Settings
from tests.service import tiny

MODEL = tiny.scale(7.0).SerializeToString()


@pytest.fixture(scope="module")
def address(tmp_path_factory, live_grpc):
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2):
        tiny.write_verified(folder, "m", version=version, factor=float(version))
    with live_grpc(Settings(repository=folder, consistency_at_load=False)) as served:
        yield served


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as connected:
        yield connected


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(address) as opened:
        yield opened


def call(channel, method, content):
    reply = channel.unary_unary(f"/{SERVICE.full_name}/{method}")(content, timeout=20)
    return message(f"{method}Response").FromString(reply)


def refused(channel, method, content):
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, content)
    return caught.value.code(), caught.value.details()


def answer(client):
    given = triton.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(np.ones((1, 2), np.float32))
    return float(client.infer("m", [given]).as_numpy("y")[0, 0])


def test_tritonclient_gives_models(client):
    client.load_model("m", config="{}", files={"file:1/model.onnx": MODEL})
    assert answer(client) == 7
    with pytest.raises(InferenceServerException, match="without the parameter 'config'"):
        client.load_model("m", files={"file:1/model.onnx": MODEL})
    policy = {"version_policy": {"specific": {"versions": ["1"]}}}
    client.load_model("m", config=json.dumps(policy))
    assert answer(client) == 1
    client.load_model("m")
    assert answer(client) == 2
    client.unload_model("m", unload_dependents=True)
    assert not client.is_model_ready("m")
    client.load_model("m")


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_a_message_that_has_the_model_where_others_have_the_repository(channel, method):
    call(channel, method, message(f"{method}Request")(repository_name="m").SerializeToString())
    call(channel, "RepositoryModelLoad", b"\n\x01m")  # the first field is "m"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("RepositoryModelLoad", {"repository_name": "other", "model_name": "m"}),
        ("RepositoryModelUnload", {"repository_name": "other", "model_name": "m"}),
        ("RepositoryIndex", {"repository_name": "other"}),
    ],
)
def test_a_repository_with_a_name_is_not_found(channel, method, request_):
    content = message(f"{method}Request")(**request_).SerializeToString()
    code, said = refused(channel, method, content)
    assert code is grpc.StatusCode.NOT_FOUND
    assert "no repository 'other'" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file:1/model.onnx", {"string_param": "text"}),
        ("file:../x", {"bytes_param": b""}),
        ("config", {"bytes_param": b"{}"}),
        ("config", {"string_param": "no json"}),
        ("unknown", {"bool_param": True}),
    ],
)
def test_parameters_that_cannot_be_are_refused(channel, name, value):
    request = message("RepositoryModelLoadRequest")(model_name="m")
    request.parameters[name].CopyFrom(message("ModelRepositoryParameter")(**value))
    code, _ = refused(channel, "RepositoryModelLoad", request.SerializeToString())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_that_is_not_there_is_not_found_and_unloading_it_no_error(client):
    with pytest.raises(InferenceServerException, match="NOT_FOUND"):
        client.load_model("nobody")
    client.unload_model("nobody")


def test_the_rows_that_a_request_may_have_are_bounded_as_over_http(client):
    client.load_model("m", config='{"max_batch_size": 2}')
    given = triton.InferInput("x", [3, 2], "FP32")
    given.set_data_from_numpy(np.ones((3, 2), np.float32))
    with pytest.raises(InferenceServerException, match="batches of 2 at most") as refused:
        client.infer("m", [given])
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    client.load_model("m")
    client.infer("m", [given])
