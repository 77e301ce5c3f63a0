"""What goes through the codec comes out as it was: every datatype, any shape, any value."""

import string
from contextlib import suppress

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bundle import Datatype
from bundle.tensors import TensorSpec
from service.codec import decode_request, encode_reply
from service.errors import RequestInvalid
from service.inference import InferenceReply, OutputTensor
from service.signature import Signature

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
IN_JSON = [d for d in Datatype if d not in (Datatype.FP16, Datatype.BF16)]


def elements(datatype, *, in_json):
    if datatype is Datatype.BYTES:
        return st.text(max_size=8).map(str.encode) if in_json else st.binary(max_size=8)
    if datatype is Datatype.BF16:
        return st.integers(0, 2**16 - 1)
    if datatype.is_float and in_json:
        return hnp.from_dtype(datatype.numpy, allow_nan=False, allow_infinity=False)
    return hnp.from_dtype(datatype.numpy)


@st.composite
def tensors(draw, datatypes, *, in_json):
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(SHAPES)
    fill = elements(datatype, in_json=in_json)
    if datatype is Datatype.BF16:
        return datatype, draw(hnp.arrays(np.uint16, shape, elements=fill)).view(ml_dtypes.bfloat16)
    return datatype, draw(hnp.arrays(datatype.numpy, shape, elements=fill, fill=st.nothing()))


def encode(datatype, array, *, binary):
    spec = TensorSpec(name="x", datatype=datatype, shape=("?",) * array.ndim)
    reply = InferenceReply(
        model_name="m", model_version=1, id="i", outputs=(OutputTensor(spec, array),)
    )
    return encode_reply(reply, binary_outputs={"x"} if binary else set())


def as_request(encoded):
    """The reply's tensors as the inputs of a request: both have the same form."""
    length = encoded.header_length
    head = encoded.body if length is None else encoded.body[:length]
    fields = {"inputs": orjson.loads(head)["outputs"], "parameters": {"binary_data_output": True}}
    text = orjson.dumps(fields)
    return text + encoded.body[len(head) :], len(text)


def decode(body, length, datatype, array):
    spec = TensorSpec(name="x", datatype=datatype, shape=("?",) * array.ndim)
    signature = Signature(inputs=(spec,), outputs=(spec,))
    return decode_request(body, signature, header_length=length).request.inputs["x"]


def assert_same(got, array):
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    if array.dtype == object:
        assert got.tolist() == array.tolist()
    else:
        assert got.tobytes() == array.tobytes()


@given(tensors(list(Datatype), in_json=False))
@settings(deadline=None)
def test_binary_data_come_back_bit_for_bit(tensor):
    datatype, array = tensor
    body, length = as_request(encode(datatype, array, binary=True))
    assert_same(decode(body, length, datatype, array), array)


@given(tensors(IN_JSON, in_json=True))
@settings(deadline=None)
def test_json_data_come_back_value_for_value(tensor):
    datatype, array = tensor
    body, _ = as_request(encode(datatype, array, binary=False))
    got = decode(body, None, datatype, array)
    if datatype.is_float:
        array = array + array.dtype.type(0)  # JSON integers have no negative zero
        got = got + got.dtype.type(0)
    assert_same(got, array)


@given(tensors([d for d in IN_JSON if d is not Datatype.BYTES], in_json=True))
@settings(deadline=None)
def test_nested_json_is_what_numpy_makes_of_it(tensor):
    datatype, array = tensor
    if array.ndim == 0:
        return
    tensor = {"name": "x", "shape": array.shape, "datatype": datatype, "data": array.tolist()}
    body = orjson.dumps({"inputs": [tensor]})
    np.testing.assert_array_equal(decode(body, None, datatype, array), array)


TENSOR_FIELDS = ["name", "shape", "datatype", "data"]
PARAMETERS = ["binary_data_size", "binary_data", "binary_data_output"]
FIELDS = ["id", "inputs", "outputs", "parameters", *TENSOR_FIELDS, *PARAMETERS]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(string.ascii_letters, max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@st.composite
def almost_requests(draw):
    """A good request with some of its parts replaced by anything."""
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}
    request = {"inputs": [tensor], "id": "a", "outputs": [{"name": "x"}], "parameters": {}}
    for target in (tensor, request, request["outputs"][0]):
        for name in draw(st.lists(st.sampled_from(sorted(target)), max_size=2)):
            target[name] = draw(JSON)
    return orjson.dumps(request, option=orjson.OPT_NON_STR_KEYS) + draw(st.binary(max_size=8))


@pytest.mark.parametrize("length", [None, 0, 1, 20, 10**9])
@given(body=st.binary(max_size=64) | JSON.map(orjson.dumps) | almost_requests())
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_a_request_or_refused(length, body):
    spec = TensorSpec(name="x", datatype=Datatype.FP32, shape=("rows", 2))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    with suppress(RequestInvalid):  # every other exception would be answered 500
        decoded = decode_request(body, signature, header_length=length)
        assert decoded.request.inputs["x"].shape[1] == 2
