"""Shared memory in messages that no client library would send, and a server without it."""

import uuid
from pathlib import Path

import grpc
import numpy as np
import pytest

from service.grpc.schema import SERVICE, message
from service.settings import Settings
from tests.service.grpc.conftest import live_grpc_server

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
A, B = np.array([[5, 6]], "<i4"), np.array([[1, 2]], "<i4")


@pytest.fixture(scope="module")
def sharing(repository):
    settings = Settings(repository=repository, client_shared_memory=True)
    with live_grpc_server(settings) as address, grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def region(sharing):
    path = MEMORY / f"normserve-test-{uuid.uuid4()}"
    path.write_bytes(B.tobytes() + bytes(24))
    call(sharing, "SystemSharedMemoryRegister", name="r", key=path.name, byte_size=32)
    yield path
    path.unlink()
    call(sharing, "SystemSharedMemoryUnregister")


def call(channel, method, request=None, **fields):
    reply = message(f"{method}Response")
    return channel.unary_unary(
        f"/{SERVICE.full_name}/{method}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=reply.FromString,
    )(message(f"{method}Request")(**fields) if request is None else request, timeout=20)


def refused(channel, method, request=None, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, request, **fields)
    return caught.value.code(), caught.value.details()


def place(tensor, *, region="r", byte_size=8, offset=0):
    tensor.parameters["shared_memory_region"].string_param = region
    tensor.parameters["shared_memory_byte_size"].int64_param = byte_size
    if offset:
        tensor.parameters["shared_memory_offset"].int64_param = offset


def request(*, shared="b", raw=None):
    """z = a + b and m = a - b; by default a is raw and b in the region."""
    blobs = [A.tobytes()] if raw is None else raw
    made = message("ModelInferRequest")(model_name="add", raw_input_contents=blobs)
    for name in ("a", "b"):
        tensor = made.inputs.add(name=name, datatype="INT32", shape=[1, 2])
        if name in shared:
            place(tensor)
    return made


def test_an_input_in_a_region_takes_no_place_among_the_raw_ones(sharing, region):
    reply = call(sharing, "ModelInfer", request())
    assert np.frombuffer(reply.raw_output_contents[0], "<i4").tolist() == [6, 8]
    reply = call(sharing, "ModelInfer", request(shared="a", raw=[B.tobytes()]))
    assert np.frombuffer(reply.raw_output_contents[1], "<i4").tolist() == [0, 0]
    reply = call(sharing, "ModelInfer", request(shared="ab", raw=[]))
    assert np.frombuffer(reply.raw_output_contents[0], "<i4").tolist() == [2, 4]


def test_a_typed_input_goes_beside_one_in_a_region(sharing, region):
    made = request(raw=[])
    made.inputs[0].contents.int_contents.extend([5, 6])
    reply = call(sharing, "ModelInfer", made)
    assert np.frombuffer(reply.raw_output_contents[0], "<i4").tolist() == [6, 8]


def test_an_output_in_a_region_takes_an_empty_place_among_the_raw_ones(sharing, region):
    made = request()
    place(made.outputs.add(name="z"), offset=16, byte_size=16)
    made.outputs.add(name="m")
    reply = call(sharing, "ModelInfer", made)
    assert [output.name for output in reply.outputs] == ["z", "m"]
    assert reply.raw_output_contents[0] == b""
    assert np.frombuffer(reply.raw_output_contents[1], "<i4").tolist() == [4, 4]
    assert np.fromfile(region, "<i4")[4:].tolist() == [6, 8, 0, 0]
    told = reply.outputs[0].parameters
    assert told["shared_memory_region"].string_param == "r"
    assert told["shared_memory_byte_size"].int64_param == 8
    assert told["shared_memory_offset"].int64_param == 16
    assert not reply.outputs[1].parameters


def test_a_stream_reads_and_writes_regions_too(sharing, region):
    made = request()
    place(made.outputs.add(name="z"), offset=24)
    stream = sharing.stream_stream(
        f"/{SERVICE.full_name}/ModelStreamInfer",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message("ModelStreamInferResponse").FromString,
    )
    bad = request()
    place(bad.outputs.add(name="z"), region="none")
    first, second, third = stream(iter([made, bad, made]), timeout=20)
    assert not first.error_message
    assert "'none'" in second.error_message
    assert list(third.infer_response.raw_output_contents) == [b""]
    assert np.fromfile(region, "<i4")[6:].tolist() == [6, 8]


def with_contents():
    made = request()
    made.inputs[1].contents.int_contents.extend([1, 2])
    return made


def with_string_size():
    made = request()
    made.inputs[1].parameters["shared_memory_byte_size"].string_param = "8"
    return made


def with_classes():
    made = request()
    output = made.outputs.add(name="z")
    place(output)
    output.parameters["classification"].int64_param = 1
    return made


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (request(raw=[A.tobytes(), B.tobytes()]), "2 raw_input_contents for 1 inputs"),
        (request(shared="ab"), "1 raw_input_contents for 0 inputs"),
        (with_contents(), "'b' has typed contents beside a shared memory region"),
        (with_string_size(), "'shared_memory_byte_size' must be a number of bytes"),
        (with_classes(), "as classes and in shared memory"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(sharing, region, made, says):
    code, details = refused(sharing, "ModelInfer", made)
    assert code is INVALID
    assert says in details


def test_regions_are_told_by_their_names(sharing, region):
    told = call(sharing, "SystemSharedMemoryStatus").regions["r"]
    assert (told.name, told.key, told.offset, told.byte_size) == ("r", region.name, 0, 32)
    assert set(call(sharing, "SystemSharedMemoryStatus", name="r").regions) == {"r"}
    assert refused(sharing, "SystemSharedMemoryStatus", name="none")[0] is NOT_FOUND


def test_a_registration_that_cannot_be_is_refused(sharing, region):
    register = "SystemSharedMemoryRegister"
    taken = refused(sharing, register, name="r", key=region.name, byte_size=8)
    assert taken[0] is grpc.StatusCode.ALREADY_EXISTS
    for fields in (
        {"name": "new", "key": region.name},
        {"name": "new", "byte_size": 8},
        {"key": region.name, "byte_size": 8},
        {"name": "new", "key": region.name, "byte_size": 2**64 - 1, "offset": 2**64 - 1},
    ):
        assert refused(sharing, register, **fields)[0] is INVALID


def test_cuda_memory_is_not_there(sharing):
    assert not call(sharing, "CudaSharedMemoryStatus").regions
    call(sharing, "CudaSharedMemoryUnregister", name="r")
    assert refused(sharing, "CudaSharedMemoryStatus", name="r")[0] is NOT_FOUND
    code, details = refused(sharing, "CudaSharedMemoryRegister", name="r", byte_size=8)
    assert code is INVALID
    assert "no CUDA shared memory" in details


def test_a_server_without_it_says_so(grpc_url):
    with grpc.insecure_channel(grpc_url) as channel:
        code, details = refused(
            channel, "SystemSharedMemoryRegister", name="r", key="k", byte_size=1
        )
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "NORMSERVE_CLIENT_SHARED_MEMORY" in details
        assert not call(channel, "SystemSharedMemoryStatus").regions
        code, details = refused(channel, "ModelInfer", request())
        assert code is INVALID
        assert "does not offer shared memory" in details
