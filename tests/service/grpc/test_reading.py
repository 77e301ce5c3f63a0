"""Bytes that are no message of the protocol."""

import logging

import grpc
import numpy as np
import pytest

from service.grpc.schema import SERVICE, message
from service.permissions import need_of_method

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


STANDARD = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]


@pytest.mark.parametrize("method", STANDARD)
def test_it_is_refused_for_the_standard_services_too(channel, caplog, method):
    with pytest.raises(grpc.RpcError) as caught:
        next(channel.stream_stream(f"/{method}")(iter([b"\xff"]), timeout=20))
    assert caught.value.code() is INVALID
    assert f"not what {method} takes" in caught.value.details()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


TAKE_ONE = [
    *(
        f"{SERVICE.full_name}/{method.name}"
        for method in SERVICE.methods
        if not method.client_streaming and need_of_method(f"/{SERVICE.full_name}/{method.name}")
    ),
    *STANDARD[:2],
]


def test_a_call_without_a_message_is_refused_by_every_method_that_takes_one(channel):
    calls = [channel.stream_unary(f"/{method}").future(iter([]), timeout=20) for method in TAKE_ONE]
    told = [(call.code(), call.details()) for call in calls]
    said = "the call ended without a message; {} takes one"
    short = [method.removeprefix(f"{SERVICE.full_name}/") for method in TAKE_ONE]
    assert told == [(INVALID, said.format(method)) for method in short]


def test_a_second_message_is_not_looked_at_by_a_method_that_takes_one(channel):
    ask = channel.stream_unary(f"/{SERVICE.full_name}/ServerLive")
    assert message("ServerLiveResponse").FromString(ask(iter([b"", b"\xff"]), timeout=20)).live
