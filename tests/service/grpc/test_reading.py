"""Bytes that are no message of the protocol."""

import grpc
import numpy as np
import pytest

from service.grpc.schema import SERVICE, message

INVALID = grpc.StatusCode.INVALID_ARGUMENT
BLOB = np.arange(3, dtype="<f4").tobytes()
GARBAGE = {
    "no field": b"\xff\xff\xff",
    "cut": b"\x0a\x7fm",
    "group that does not end": b"\x0b",
    "name that is no text": b"\x0a\x02\xff\xfe",
    "another kind of field": b"\x08\x01\x0a",
}


@pytest.fixture(scope="module")
def channel(grpc_url):
    with grpc.insecure_channel(grpc_url) as opened:
        yield opened


def good():
    made = message("ModelInferRequest")(model_name="identity-fp32", raw_input_contents=[BLOB])
    made.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    return made.SerializeToString()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata", "RepositoryModelLoad"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_message_that_cannot_be_read_is_refused_and_the_next_is_answered(
    channel, method, garbage
):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE.full_name}/{method}")(GARBAGE[garbage], timeout=20)
    assert caught.value.code() is INVALID
    assert f"not what {method} takes" in caught.value.details()
    reply = channel.unary_unary(f"/{SERVICE.full_name}/ModelInfer")(good(), timeout=20)
    assert message("ModelInferResponse").FromString(reply).raw_output_contents[0] == BLOB


def test_a_stream_ends_at_a_message_that_cannot_be_read(channel):
    stream = channel.stream_stream(f"/{SERVICE.full_name}/ModelStreamInfer")
    replies = stream(iter([good(), good(), b"\xff", good()]), timeout=20)
    reply = message("ModelStreamInferResponse")
    for _ in range(2):
        told = reply.FromString(next(replies))
        assert told.infer_response.raw_output_contents[0] == BLOB
    with pytest.raises(grpc.RpcError) as caught:
        next(replies)
    assert caught.value.code() is INVALID
    assert "not what ModelStreamInfer takes" in caught.value.details()


def test_it_is_refused_for_the_standard_services_too(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff", timeout=20)
    assert caught.value.code() is INVALID
