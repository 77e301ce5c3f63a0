"""One request, by either transport and in every form, is the same request; and so is a reply.

What is encoded here is encoded by Triton's client or by hand, never by the code under test.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np
import orjson
import pytest
import tritonclient.grpc
import tritonclient.http
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.grpc import service_pb2

from bundle import Datatype
from bundle.tensors import TensorSpec
from service import codec
from service.codec import decode_raw_request
from service.errors import RequestInvalid
from service.grpc import codec as grpc_codec
from service.grpc.schema import message
from service.inference import InferenceReply, OutputTensor, Placement
from service.signature import Signature

HALF = (Datatype.FP16, Datatype.BF16)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
TYPED = {"BOOL": "bool", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
TYPED |= {"INT64": "int64", "UINT64": "uint64"}
TYPED |= {f"INT{bits}": "int" for bits in (8, 16, 32)}
TYPED |= {f"UINT{bits}": "uint" for bits in (8, 16, 32)}
PARAMETERS = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
MODEL_OUTPUTS = tuple(
    TensorSpec(name=name, datatype=datatype, shape=("n",))
    for name, datatype in {"y": "FP32", "classes": "INT32", "half": "FP16"}.items()
)

NAMES = st.text(min_size=1, max_size=8)
PARAMETER_VALUES = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.floats(-1e9, 1e9)
)
PLACEMENTS = st.builds(
    Placement,
    region=st.text(max_size=6),
    offset=st.integers(0, 2**40),
    byte_size=st.integers(0, 2**40),
)


@dataclass(frozen=True)
class Sent:
    """An input: what it is, and by which way it goes over each transport."""

    name: str
    datatype: Datatype
    array: np.ndarray
    http: str
    place: Placement | None = None

    @property
    def values(self):
        flat = self.array.reshape(-1)
        return [v.decode() for v in flat] if self.datatype is Datatype.BYTES else flat.tolist()

    @property
    def raw(self):
        """Little-endian and row-major, with lengths in front of BYTES, by hand."""
        if self.datatype is Datatype.BYTES:
            return b"".join(struct.pack("<I", len(v)) + v for v in self.array.reshape(-1))
        return self.array.astype(self.array.dtype.newbyteorder("<")).tobytes()


def elements(datatype, *, is_text):
    if datatype is Datatype.BYTES:
        return st.text(max_size=5).map(str.encode) if is_text else st.binary(max_size=5)
    if datatype is Datatype.BF16:
        return st.integers(0, 2**16 - 1)
    if datatype.is_float and is_text:
        # -0.0 is an integer to some, and every reader of JSON may take it for 0
        kept = hnp.from_dtype(datatype.numpy, allow_nan=False, allow_infinity=False)
        return kept.map(lambda value: value + 0)
    return hnp.from_dtype(datatype.numpy)


@st.composite
def arrays(draw, datatype, *, is_text):
    shape = draw(SHAPES)
    fill = elements(datatype, is_text=is_text)
    if datatype is Datatype.BF16:
        return draw(hnp.arrays(np.uint16, shape, elements=fill)).view(ml_dtypes.bfloat16)
    return draw(hnp.arrays(datatype.numpy, shape, elements=fill, fill=st.nothing()))


@st.composite
def inputs(draw):
    name, datatype = draw(NAMES), draw(st.sampled_from(list(Datatype)))
    ways = ["binary", "shared"] if datatype in HALF else ["binary", "shared", "flat", "nested"]
    http = draw(st.sampled_from(ways))
    array = draw(arrays(datatype, is_text=http in ("flat", "nested")))
    place = draw(PLACEMENTS) if http == "shared" else None
    return Sent(name, datatype, array, http, place)


def shared_parameters(place):
    return {
        "shared_memory_region": place.region,
        "shared_memory_byte_size": place.byte_size,
        "shared_memory_offset": place.offset,
    }


@st.composite
def outputs(draw):
    """Output requests as a name and parameters, each listed once or twice."""
    listed = []
    for name in draw(st.lists(st.sampled_from(["y", "classes", "half"]), unique=True)):
        ways = [{}, {"binary_data": True}, shared_parameters(draw(PLACEMENTS))]
        if name != "half":
            ways += [{"classification": draw(st.integers(0, 9))}, {"binary_data": False}]
        listed += [(name, draw(st.sampled_from(ways)))] * draw(st.integers(1, 2))
    return draw(st.permutations(listed))


@st.composite
def requests(draw):
    sent = draw(st.lists(inputs(), min_size=1, max_size=3, unique_by=lambda tensor: tensor.name))
    names = st.text(max_size=6).filter(
        lambda name: not name.startswith("triton_") and name not in ("priority", "timeout")
    )
    return {
        "sent": sent,
        "id": draw(st.text(max_size=12)),
        "parameters": draw(st.dictionaries(names, PARAMETER_VALUES, max_size=3)),
        "outputs": draw(outputs()),
    }


def signature_of(sent):
    specs = (
        TensorSpec(name=t.name, datatype=t.datatype, shape=("?",) * t.array.ndim) for t in sent
    )
    return Signature(inputs=tuple(specs), outputs=MODEL_OUTPUTS)


def as_http(request):
    tensors, blobs = [], []
    for sent in request["sent"]:
        tensor = {"name": sent.name, "datatype": sent.datatype, "shape": sent.array.shape}
        if sent.http == "shared":
            tensor["parameters"] = shared_parameters(sent.place)
        elif sent.http == "binary":
            tensor["parameters"] = {"binary_data_size": len(sent.raw)}
            blobs.append(sent.raw)
        elif sent.http == "flat" or sent.array.ndim == 0:
            tensor["data"] = sent.values
        else:
            nested = np.empty(sent.array.size, object)
            nested[:] = sent.values
            tensor["data"] = nested.reshape(sent.array.shape).tolist()
        tensors.append(tensor)
    fields = {
        "id": request["id"],
        # FP16 outputs have no JSON form
        "parameters": request["parameters"] | {"binary_data_output": True},
        "inputs": tensors,
        "outputs": [{"name": n, "parameters": p} for n, p in request["outputs"]],
    }
    text = orjson.dumps(fields)
    return text + b"".join(blobs), len(text)


def set_parameters(target, parameters):
    for name, value in parameters.items():
        setattr(target[name], PARAMETERS[type(value)], value)


def as_grpc(request, *, typed):
    made = message("ModelInferRequest")(id=request["id"])
    set_parameters(made.parameters, request["parameters"])
    for sent in request["sent"]:
        tensor = made.inputs.add(name=sent.name, datatype=sent.datatype, shape=sent.array.shape)
        if sent.http == "shared":
            set_parameters(tensor.parameters, shared_parameters(sent.place))
        elif typed:
            field = getattr(tensor.contents, f"{TYPED[sent.datatype]}_contents")
            field.extend(sent.array.reshape(-1).tolist())
        else:
            made.raw_input_contents.append(sent.raw)
    for name, parameters in request["outputs"]:
        set_parameters(made.outputs.add(name=name).parameters, parameters)
    return made


def assert_same(got, wanted):
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        if array.dtype == object:
            assert got[name].tolist() == array.tolist()
        else:
            assert got[name].tobytes() == array.tobytes()


@given(requests())
@settings(max_examples=200)
def test_a_request_is_the_same_by_every_way(request):
    signature = signature_of(request["sent"])
    body, length = as_http(request)
    decoded = codec.decode_request(body, signature, header_length=length).request
    ways = [decoded]
    ways.append(grpc_codec.decode_request(as_grpc(request, typed=False), signature))
    if not any(sent.datatype in HALF and not sent.place for sent in request["sent"]):
        ways.append(grpc_codec.decode_request(as_grpc(request, typed=True), signature))
    for way in ways:
        assert_same(way.inputs, {s.name: s.array for s in request["sent"] if not s.place})
        assert {n: s.placement for n, s in way.shared_inputs.items()} == {
            s.name: s.place for s in request["sent"] if s.place
        }
        assert way.id == (request["id"] or None)
        asked = {k: v for k, v in way.parameters.items() if k != "binary_data_output"}
        assert asked == request["parameters"]
        assert replace(way, inputs={}, parameters={}) == replace(decoded, inputs={}, parameters={})


@given(inputs().filter(lambda sent: sent.array.ndim and sent.array.size))
def test_a_raw_body_is_the_same_input(sent):
    array = sent.array.reshape(-1)
    if sent.datatype is Datatype.BYTES:
        array = array[:1]
        body = array[0] or b"x"
        array[0] = body
    else:
        body = replace(sent, array=array).raw
    spec = TensorSpec(name="x", datatype=sent.datatype, shape=("n",))
    decoded = decode_raw_request(body, Signature(inputs=(spec,), outputs=(spec,)))
    assert_same(decoded.request.inputs, {"x": array})


@given(st.lists(inputs(), min_size=1, max_size=3, unique_by=lambda sent: sent.name))
def test_what_tritons_http_client_writes_is_what_was_given(sent):
    given_tensors = []
    for each in sent:
        is_json = each.http in ("flat", "nested") and each.array.size
        tensor = tritonclient.http.InferInput(each.name, list(each.array.shape), each.datatype)
        tensor.set_data_from_numpy(each.array, binary_data=not is_json)
        given_tensors.append(tensor)
    body, length = tritonclient.http.InferenceServerClient.generate_request_body(given_tensors)
    decoded = codec.decode_request(body, signature_of(sent), header_length=length)
    assert_same(decoded.request.inputs, {each.name: each.array for each in sent})
    assert decoded.binary_outputs == {"y", "classes", "half"}


@st.composite
def replies(draw):
    tensors, binary = [], set()
    for name in draw(st.lists(NAMES, unique=True, max_size=3)):
        datatype = draw(st.sampled_from(list(Datatype)))
        is_json = datatype not in HALF and draw(st.booleans())
        array = draw(arrays(datatype, is_text=is_json))
        if not is_json:
            binary.add(name)
        spec = TensorSpec(name=name, datatype=datatype, shape=("?",) * array.ndim)
        placement = draw(st.none() | PLACEMENTS)
        tensors.append(OutputTensor(spec, array, placement))
    reply = InferenceReply(
        model_name=draw(NAMES),
        model_version=draw(st.integers(1, 10**18)),
        id=draw(st.none() | st.text(min_size=1, max_size=12)),
        outputs=tuple(tensors),
    )
    return reply, binary


@given(replies())
def test_tritons_http_client_reads_what_was_answered(case):
    reply, binary = case
    encoded = codec.encode_reply(reply, binary_outputs=binary)
    read = tritonclient.http.InferenceServerClient.parse_response_body(
        encoded.body, header_length=encoded.header_length
    )
    told = read.get_response()
    assert told["model_version"] == str(reply.model_version)
    assert told.get("id") == reply.id
    for output in reply.outputs:
        name, datatype = output.spec.name, output.spec.datatype
        if output.placement is None:
            got = read.as_numpy(name)
            if name not in binary and datatype is Datatype.BYTES:  # JSON strings stay text there
                got = np.frompyfunc(str.encode, 1, 1)(got) if got.size else got.astype(object)
            assert_same({name: np.asarray(got, output.array.dtype)}, {name: output.array})
        else:
            assert_placed(read.get_output(name), output)
            assert "data" not in read.get_output(name)


def assert_placed(told, output):
    place = output.placement
    wanted = shared_parameters(place)
    if not place.offset:
        del wanted["shared_memory_offset"]
    assert told["parameters"] == wanted
    assert tuple(told["shape"]) == output.array.shape


@given(replies())
def test_tritons_grpc_client_reads_what_was_answered(case):
    reply, _ = case
    sent = grpc_codec.encode_reply(reply).SerializeToString()
    told = service_pb2.ModelInferResponse.FromString(sent)
    read = tritonclient.grpc.InferResult(told)
    assert (told.model_name, told.id) == (reply.model_name, reply.id or "")
    assert len(told.raw_output_contents) == len(reply.outputs)
    for place, output in enumerate(reply.outputs):
        name = output.spec.name
        if output.placement is None:
            got = read.as_numpy(name)
            assert_same({name: np.asarray(got, output.array.dtype)}, {name: output.array})
        else:
            parameters = {
                key: getattr(value, value.WhichOneof("parameter_choice"))
                for key, value in told.outputs[place].parameters.items()
            }
            shape = told.outputs[place].shape
            assert_placed({"parameters": parameters, "shape": shape}, output)
            assert told.raw_output_contents[place] == b""


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
KNOWN = [
    "binary_data_size",
    "binary_data",
    "classification",
    *shared_parameters(Placement(region="", offset=0, byte_size=0)),
]


def damaged(draw, value, depth=0):
    """A JSON value with some of its parts replaced, dropped or added."""
    if depth and draw(st.integers(0, 9)) == 0:
        return draw(ANY_JSON)
    if isinstance(value, dict):
        made = {
            k: damaged(draw, v, depth + 1) for k, v in value.items() if draw(st.integers(0, 19))
        }
        if draw(st.integers(0, 9)) == 0:
            made[draw(st.sampled_from(KNOWN))] = draw(ANY_JSON)
        return made
    if isinstance(value, list | tuple):
        return [damaged(draw, each, depth + 1) for each in value]
    return value


@given(st.data(), requests())
@settings(max_examples=300)
def test_a_damaged_body_is_a_request_or_refused(data, request):
    body, length = as_http(request)
    fields = orjson.loads(body[:length])
    text = orjson.dumps(damaged(data.draw, fields))
    tail = bytearray(body[length:])
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(tail)))
        tail[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if data.draw(st.booleans()):
        text = bytearray(text)
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    signature = signature_of(request["sent"])
    with suppress(RequestInvalid):  # every other exception would be answered 500
        codec.decode_request(bytes(text) + bytes(tail), signature, header_length=len(text))


@given(st.data(), requests(), st.booleans())
@settings(max_examples=300)
def test_a_damaged_message_is_a_request_or_refused(data, request, typed):
    typed = typed and not any(sent.datatype in HALF for sent in request["sent"])
    sent = bytearray(as_grpc(request, typed=typed).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sent)))
        sent[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(RequestInvalid, DecodeError):  # the latter: bytes that are no message at all
        received = message("ModelInferRequest").FromString(bytes(sent))
        grpc_codec.decode_request(received, signature_of(request["sent"]))


@st.composite
def strange_messages(draw):
    """Messages whose fields have anything to do with each other only by chance."""
    made = message("ModelInferRequest")(id=draw(st.text(max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        tensor = made.inputs.add(
            name=draw(st.sampled_from(["a", "b", ""])),
            datatype=draw(st.sampled_from([*Datatype, "", "fp32"])),
            shape=draw(st.lists(st.integers(-1, 3) | st.integers(-(2**63), 2**63 - 1), max_size=3)),
        )
        if draw(st.booleans()):
            tensor.contents.fp32_contents.extend(draw(st.lists(st.floats(width=32), max_size=4)))
        if draw(st.booleans()):
            tensor.contents.int_contents.extend(draw(st.lists(st.integers(-9, 9), max_size=4)))
        set_parameters(tensor.parameters, draw(strange_parameters()))
    for name in draw(st.lists(st.sampled_from(["y", "classes", "half", "?"]), max_size=2)):
        set_parameters(made.outputs.add(name=name).parameters, draw(strange_parameters()))
    made.raw_input_contents.extend(draw(st.lists(st.binary(max_size=12), max_size=3)))
    return made


def strange_parameters():
    return st.dictionaries(st.sampled_from(KNOWN), PARAMETER_VALUES, max_size=3)


@pytest.mark.parametrize("datatype", ["FP32", "INT8", "BYTES", "BF16"])
@given(made=strange_messages())
def test_a_strange_message_is_a_request_or_refused(datatype, made):
    specs = tuple(TensorSpec(name=n, datatype=datatype, shape=("n", 2)) for n in "ab")
    with suppress(RequestInvalid):
        grpc_codec.decode_request(made, Signature(inputs=specs, outputs=MODEL_OUTPUTS))
