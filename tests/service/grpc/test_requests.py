"""Requests that no client library would send: each is refused with what was got and wanted."""

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.grpc.schema import SERVICE, message

Request = message("ModelInferRequest")
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def channel(grpc_url):
    with grpc.insecure_channel(grpc_url) as opened:
        yield opened


def call(channel, method, request, reply):
    return channel.unary_unary(
        f"/{SERVICE.full_name}/{method}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message(reply).FromString,
    )(request, timeout=20)


def infer(channel, request):
    return call(channel, "ModelInfer", request, "ModelInferResponse")


def refused(channel, request):
    with pytest.raises(grpc.RpcError) as caught:
        infer(channel, request)
    return caught.value.code(), caught.value.details()


def request(model="identity-fp32", *, shape=(1, 3), datatype="FP32", name="x", raw=None, **typed):
    made = Request(model_name=model)
    given = made.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in typed.items():
        getattr(given.contents, field).extend(values)
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


FIELDS = {bool: "bool", int: "int64", str: "string", float: "double"}
TWELVE = np.arange(3, dtype=np.float32).tobytes()


def named_twice():
    made = request(raw=TWELVE)
    made.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    made.raw_input_contents.append(TWELVE)
    return made


def with_output(name):
    made = request(raw=TWELVE)
    made.outputs.add(name=name)
    return made


def with_outputs(count):
    made = request(raw=TWELVE)
    for _ in range(count):
        made.outputs.add(name="y")
    return made


def with_parameter(**values):
    made = request(raw=TWELVE)
    for name, value in values.items():
        if value is None:
            made.parameters[name].SetInParent()
        else:
            setattr(made.parameters[name], f"{FIELDS[type(value)]}_param", value)
    return made


def with_two_raw():
    made = request(raw=TWELVE)
    made.raw_input_contents.append(b"")
    return made


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        (request("nobody", raw=TWELVE), NOT_FOUND, "nobody"),
        (request("", raw=TWELVE), NOT_FOUND, "''"),
        (request(name="z", raw=TWELVE), INVALID, "'z' is not one of the model's; it has 'x'"),
        (Request(model_name="identity-fp32"), INVALID, "the model also wants 'x'"),
        (named_twice(), INVALID, "'x' is given twice"),
        (request(datatype="INT32", raw=TWELVE), INVALID, "the model wants FP32"),
        (request(datatype="fp32", raw=TWELVE), INVALID, "the protocol has BOOL"),
        (request(shape=(1, 4), raw=TWELVE), INVALID, "the model wants (rows, 3)"),
        (request(shape=(-1, 3), raw=TWELVE), INVALID, "no size may be below 0"),
        (request(shape=(2**40, 3), raw=TWELVE), INVALID, "12 bytes"),
        (request(raw=TWELVE[:-1]), INVALID, "has 11 bytes of binary data"),
        (request(raw=TWELVE + b"x"), INVALID, "has 13 bytes of binary data"),
        (request(), INVALID, "has 0 elements in fp32_contents"),
        (request(fp32_contents=[1.0]), INVALID, "has 1 elements in fp32_contents"),
        (request(fp64_contents=[1.0] * 3), INVALID, "it wants fp32_contents"),
        (request(raw=TWELVE, fp32_contents=[1.0] * 3), INVALID, "beside raw_input_contents"),
        (with_two_raw(), INVALID, "2 raw_input_contents for 1 inputs"),
        (with_output("nothing"), INVALID, "'nothing' is not one of the model's; it has 'y'"),
        (with_outputs(3), INVALID, "more than 2 outputs are listed, and the model has 1"),
        (
            request("identity-int8", datatype="INT8", int_contents=[1, 2, 300]),
            INVALID,
            "has 300; it may be -128 to 127",
        ),
        (
            request("identity-fp16", datatype="FP16", fp32_contents=[1.0] * 3),
            INVALID,
            "no typed contents",
        ),
        (
            request("identity-bf16", datatype="BF16", fp32_contents=[1.0] * 3),
            INVALID,
            "no typed contents",
        ),
        (
            request("identity-uint16", datatype="UINT16", uint_contents=[1, 2, 2**16]),
            INVALID,
            "has 65536; it may be 0 to 65535",
        ),
        (
            request("identity-bool", datatype="BOOL", raw=b"\0\1\2"),
            INVALID,
            "a byte other than 0 and 1",
        ),
        (request("two-dynamic", shape=(2**62, 2**62), fp32_contents=[1.0]), INVALID, "wants"),
        (request("two-dynamic", shape=(0, 2**62), raw=b""), INVALID, "is empty but its shape"),
        (request("two-dynamic", shape=[1] * 10**6, raw=TWELVE), INVALID, "wants (rows, columns)"),
        (request(name="x" * 10**6, raw=TWELVE), INVALID, "is not one of the model's"),
        (
            request("identity-bytes", datatype="BYTES", raw=b"\xff\0\0\0ab" + b"\0" * 12),
            INVALID,
            "says it has 255 bytes",
        ),
        (
            request("identity-bytes", datatype="BYTES", shape=(2**20, 3), raw=TWELVE),
            INVALID,
            "has 3145728 elements; of BYTES a request may have 1048576",
        ),
        (with_parameter(priority="high"), INVALID, "'priority' must be an integer"),
        (with_parameter(triton_x=True), INVALID, "reserved"),
        (with_parameter(empty=None), INVALID, "'empty' of the request has no value"),
    ],
)
def test_a_malformed_request_is_refused(channel, made, code, said):
    got, details = refused(channel, made)
    assert got is code
    assert said in details


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("abc", INVALID),
        ("-1", INVALID),
        ("0", NOT_FOUND),
        ("01", NOT_FOUND),
        ("7", NOT_FOUND),
        ("9" * 5000, NOT_FOUND),
    ],
)
def test_a_version_that_is_not_there_is_refused(channel, version, code):
    made = request(raw=TWELVE)
    made.model_version = version
    assert refused(channel, made)[0] is code


@pytest.mark.parametrize(
    ("model", "datatype", "typed"),
    [
        ("identity-bool", "BOOL", {"bool_contents": [True, False, True]}),
        ("identity-uint8", "UINT8", {"uint_contents": [0, 1, 255]}),
        ("identity-uint64", "UINT64", {"uint64_contents": [0, 1, 2**64 - 1]}),
        ("identity-int16", "INT16", {"int_contents": [-(2**15), 0, 2**15 - 1]}),
        ("identity-int8", "INT8", {"int_contents": [-128, 0, 127]}),
        ("identity-int32", "INT32", {"int_contents": [-(2**31), 0, 2**31 - 1]}),
        ("identity-uint16", "UINT16", {"uint_contents": [0, 1, 2**16 - 1]}),
        ("identity-uint32", "UINT32", {"uint_contents": [0, 1, 2**32 - 1]}),
        ("identity-int64", "INT64", {"int64_contents": [-(2**63), 0, 2**63 - 1]}),
        ("identity-fp32", "FP32", {"fp32_contents": [0.5, -1, 2]}),
        ("identity-fp64", "FP64", {"fp64_contents": [0.1, -1, 2]}),
    ],
)
def test_typed_contents_are_answered_raw(channel, model, datatype, typed):
    reply = infer(channel, request(model, datatype=datatype, **typed))
    (values,) = typed.values()
    dtype = {"BOOL": bool, "FP32": np.float32, "FP64": np.float64}.get(datatype, datatype.lower())
    assert np.frombuffer(reply.raw_output_contents[0], dtype).tolist() == values
    assert not reply.outputs[0].contents.ByteSize()


def test_typed_bytes_carry_no_lengths_and_raw_ones_do(channel):
    made = request("identity-bytes", datatype="BYTES", bytes_contents=[b"a", b"", b"\xff\0"])
    reply = infer(channel, made)
    assert reply.raw_output_contents[0] == b"\1\0\0\0a\0\0\0\0\2\0\0\0\xff\0"


def test_an_output_that_is_listed_twice_is_given_once(channel):
    assert list(infer(channel, with_outputs(2)).raw_output_contents) == [TWELVE]


def test_an_empty_contents_message_beside_raw_ones_is_let_through(channel):
    made = request(raw=TWELVE)
    made.inputs[0].contents.SetInParent()
    assert infer(channel, made).raw_output_contents[0] == TWELVE


def test_an_empty_tensor_is_answered_with_an_empty_one(channel):
    reply = infer(channel, request(shape=(0, 3), raw=b""))
    assert (list(reply.outputs[0].shape), list(reply.raw_output_contents)) == ([0, 3], [b""])


def test_unknown_parameters_are_ignored_and_those_of_the_protocol_are_taken(channel):
    made = with_parameter(anything=1.5, sequence_id="a", sequence_start=True)
    made.parameters["timeout"].int64_param = 10**6
    made.parameters["priority"].uint64_param = 1
    assert infer(channel, made).raw_output_contents[0] == TWELVE


def test_what_is_not_offered_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "NoSuchMethod", Request(), "ServerLiveResponse")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_standard_health_service_answers(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService"):
        # a broken model is in the repository: the server says that it is not ready
        status = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="other"), timeout=20)
    assert caught.value.code() is NOT_FOUND


def test_reflection_names_the_services_and_describes_the_messages(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest
    listed, described = stub.ServerReflectionInfo(
        iter(
            [
                asked(list_services=""),
                asked(file_containing_symbol="inference.GRPCInferenceService"),
            ]
        ),
        timeout=20,
    )
    names = {service.name for service in listed.list_services_response.service}
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
    assert len(described.file_descriptor_response.file_descriptor_proto) == 2
