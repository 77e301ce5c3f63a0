"""MLServer's codecs over REST and its gRPC stubs, unchanged."""

import json
import urllib.error
import urllib.request

import grpc
import mlserver
import numpy as np
import pandas as pd
import pytest
from mlserver.codecs import (
    NumpyCodec,
    NumpyRequestCodec,
    PandasCodec,
    StringCodec,
    StringRequestCodec,
)
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, InferenceResponse, RepositoryIndexResponse

ARRAYS = {
    "uint8": np.array([[0, 255, 1]], np.uint8),
    "int64": np.array([[-(2**63), 2**63 - 1, 0]]),
    "fp32": np.array([[0.1, -2.5, 3]], np.float32),
    "fp64": np.array([[0.1, -2.5, 1e300]]),
}


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server["grpc"]) as channel:
        yield GRPCInferenceServiceStub(channel)


def post(server, path, body):
    asked = urllib.request.Request(  # noqa: S310 - the test's own server
        f"{server['url']}{path}",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as reply:  # noqa: S310
        return reply.read()


def infer(server, model, request, *, nulls=False):
    """Ask as MLServer's own client does; ``nulls`` sends the fields that are not set as null."""
    body = request.model_dump_json(exclude_none=not nulls)
    return InferenceResponse.model_validate_json(post(server, f"/v2/models/{model}/infer", body))


def test_the_version_is_the_one_that_was_meant():
    assert mlserver.__version__ == "1.7.1"


@pytest.mark.parametrize("nulls", [True, False])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_go_both_ways_over_rest(server, name, nulls):
    request = InferenceRequest(id="7", inputs=[NumpyCodec.encode_input("x", ARRAYS[name])])
    reply = infer(server, f"identity-{name}", request, nulls=nulls)
    assert (reply.id, reply.model_version) == ("7", "1")
    got = NumpyCodec.decode_output(reply.outputs[0])
    assert got.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(got, ARRAYS[name])


def test_a_request_that_the_codec_made_whole_is_answered(server):
    request = NumpyRequestCodec.encode_request(ARRAYS["fp32"])
    request.inputs[0].name = "x"
    reply = infer(server, "identity-fp32", request)
    np.testing.assert_array_equal(NumpyRequestCodec.decode_response(reply), ARRAYS["fp32"])


def test_texts_go_both_ways_over_rest(server):
    texts = ["plain", "\u00e9\U0001f40d", ""]
    request = InferenceRequest(inputs=[StringCodec.encode_input("x", texts, use_bytes=False)])
    request.inputs[0].shape = [1, 3]
    reply = infer(server, "identity-bytes", request)
    assert StringCodec.decode_output(reply.outputs[0]) == texts
    assert StringRequestCodec.decode_response(reply) == texts


def test_a_table_goes_there_and_comes_back(server):
    table = pd.DataFrame(
        {
            "f": np.array([0.5, 1.5], np.float32),
            "i": np.array([2**60, -1]),
            "s": ["a", "b"],
        }
    )
    request = PandasCodec.encode_request(table, use_bytes=False)
    for tensor in request.inputs:
        tensor.shape = [2]
    got = PandasCodec.decode_response(infer(server, "mixed", request))
    assert list(got.columns) == ["out_s", "out_f", "out_i"]
    assert got["out_f"].tolist() == [0.5, 1.5]
    assert got["out_i"].tolist() == [2**60, -1]
    assert [str(text) for text in got["out_s"]] == ["a", "b"]


def test_an_error_has_the_protocols_body(server):
    request = InferenceRequest(inputs=[NumpyCodec.encode_input("x", ARRAYS["fp64"])])
    with pytest.raises(urllib.error.HTTPError) as caught:
        infer(server, "identity-fp32", request)
    assert caught.value.code == 400
    assert "the model wants FP32" in json.loads(caught.value.read())["error"]


def test_the_repository_is_what_its_types_expect(server):
    index = RepositoryIndexResponse.model_validate_json(post(server, "/v2/repository/index", "{}"))
    assert {"add", "versions"} <= {entry.name for entry in index.root}


def test_the_stub_asks_for_health_and_metadata(stub):
    assert stub.ServerLive(pb.ServerLiveRequest()).live
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    assert stub.ModelReady(pb.ModelReadyRequest(name="add")).ready
    assert not stub.ModelReady(pb.ModelReadyRequest(name="nobody")).ready
    assert stub.ServerMetadata(pb.ServerMetadataRequest()).name == "normserve"
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="mixed"))
    assert [tensor.name for tensor in metadata.inputs] == ["f", "i", "s"]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_go_both_ways_over_grpc(stub, name, raw):
    request = InferenceRequest(id="7", inputs=[NumpyCodec.encode_input("x", ARRAYS[name])])
    message = ModelInferRequestConverter.from_types(
        request, model_name=f"identity-{name}", use_raw=raw
    )
    reply = ModelInferResponseConverter.to_types(stub.ModelInfer(message))
    assert reply.id == "7"
    np.testing.assert_array_equal(NumpyCodec.decode_output(reply.outputs[0]), ARRAYS[name])


def test_the_stub_loads_and_unloads(stub):
    stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="changing"))
    assert not stub.ModelReady(pb.ModelReadyRequest(name="changing")).ready
    stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="changing"))
    assert stub.ModelReady(pb.ModelReadyRequest(name="changing")).ready
    index = stub.RepositoryIndex(pb.RepositoryIndexRequest())
    assert "changing" in {model.name for model in index.models}


def test_an_unknown_model_is_not_found(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(pb.ModelInferRequest(model_name="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
