import json

import numpy as np
import pytest

from bundle import Datatype
from bundle.tensors import TensorSpec
from service.codec.generate import decode_generate, encode_generate
from service.errors import (
    InputMismatch,
    JsonInvalid,
    NotJsonRepresentable,
    ParameterInvalid,
    TensorInvalid,
)
from service.inference import InferenceReply, OutputTensor
from service.signature import Signature


def spec(name, datatype="FP32", shape=("n",)):
    return TensorSpec(name=name, datatype=datatype, shape=shape)


def signature(*inputs, outputs=()):
    return Signature(inputs=inputs or (spec("x"),), outputs=outputs or (spec("y"),))


def decoded(fields, *inputs):
    return decode_generate(json.dumps(fields).encode(), signature(*inputs))


def reply(**arrays):
    outputs = tuple(
        OutputTensor(spec(name, Datatype.from_numpy(array.dtype)), array)
        for name, array in arrays.items()
    )
    return InferenceReply(model_name="m", model_version=3, id=None, outputs=outputs)


@pytest.mark.parametrize(
    ("value", "shape", "wanted"),
    [
        (7, (), ()),
        (7, (1,), (1,)),
        (7, ("n",), (1,)),
        (7, (1, 1), (1, 1)),
        (7, ("n", "m"), (1, 1)),
        ([1, 2, 3], ("n",), (3,)),
        ([1, 2, 3], (3,), (3,)),
        ([1, 2, 3], ("n", 3), (1, 3)),
        ([1, 2, 3, 4, 5, 6], ("n", 3), (2, 3)),
        ([1, 2, 3, 4], ("n", "m"), (1, 4)),
        ([1, 2, 3, 4], ("n", 2, "m"), (1, 2, 2)),
        ([[1, 2], [3, 4], [5, 6]], ("n", "m"), (3, 2)),
        ([[[1]], [[2]]], (2, 1, 1), (2, 1, 1)),
        ([], ("n",), (0,)),
        ([], ("n", 3), (0, 3)),
        ([[], []], ("n", "m"), (2, 0)),
    ],
)
def test_a_value_takes_the_shape_that_the_input_has(value, shape, wanted):
    array = decoded({"x": value}, spec("x", shape=shape)).inputs["x"]
    assert array.shape == wanted
    assert array.ravel().tolist() == np.ravel(np.array(value, np.float32)).tolist()


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        (7, (2,), r"1 elements, which do not fill the shape \(2\)"),
        ([1, 2], ("n", 3), r"2 elements, which do not fill the shape \(n, 3\)"),
        ([1, 2], (), r"2 elements"),
        ([[1, 2]], ("n",), "nested 2 deep"),
        ([[1, 2]], ("a", "b", "c"), "nested 2 deep; the model wants it flat, or 3 deep"),
        ([[1, 2], [3]], ("n", "m"), "nested other than its shape"),
        ([[1, 2], 3], ("n", "m"), "nested other than its shape"),
        (["a"], ("n",), "element 0 is a string"),
        (None, ("n",), "element 0 is null"),
        ({"a": 1}, ("n",), "element 0 is an object"),
    ],
)
def test_a_value_that_cannot_be_the_input_is_refused(value, shape, said):
    with pytest.raises(TensorInvalid, match=said):
        decoded({"x": value}, spec("x", shape=shape))


def test_keys_are_inputs_and_otherwise_parameters():
    request = decoded(
        {"x": 1, "id": "7", "temperature": 0.5, "parameters": {"stream": False, "t": [1, 2]}},
        spec("x"),
        spec("t"),
    )
    assert request.id == "7"
    assert request.inputs["t"].tolist() == [1, 2]
    assert request.parameters == {"temperature": 0.5, "stream": False}
    assert request.outputs == ("y",)


def test_a_model_may_have_inputs_with_the_names_of_other_keys():
    request = decoded({"id": [5], "parameters": [6]}, spec("id"), spec("parameters"))
    assert request.id is None
    assert request.inputs["id"].tolist() == [5]
    assert request.inputs["parameters"].tolist() == [6]


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({}, InputMismatch, "the model also wants 'x'"),
        ({"x": 1, "parameters": {"x": 2}}, InputMismatch, "'x' is given twice"),
        ({"x": 1, "parameters": [2]}, JsonInvalid, "'parameters' of the request must be"),
        ({"x": 1, "id": 7}, JsonInvalid, "'id' of the request must be a string"),
        ({"x": 1, "y": [2]}, ParameterInvalid, "parameter 'y' of the request is an array"),
        ({"x": 1, "timeout": "long"}, ParameterInvalid, "'timeout' must be an integer"),
        ([1], JsonInvalid, "must be a JSON object"),
    ],
)
def test_a_request_that_is_not_one_is_refused(fields, error, said):
    with pytest.raises(error, match=said):
        decoded(fields)


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ((spec("h", "FP16"),), (), "input 'h' of the model is FP16, which JSON cannot carry"),
        ((), (spec("h", "BF16"),), "output 'h' of the model is BF16, which JSON cannot carry"),
        ((), (spec("model_name"),), "output 'model_name' of the model is called like another key"),
    ],
)
def test_a_model_that_this_form_cannot_carry_is_refused(inputs, outputs, said):
    with pytest.raises(NotJsonRepresentable, match=said):
        decode_generate(b'{"x": 1, "h": 1}', signature(*inputs, outputs=outputs))


def test_one_element_is_a_value_and_more_are_a_flat_array():
    text = encode_generate(
        reply(
            one=np.array([[0.1]], np.float32),
            wide=np.array(2**63 - 1),
            unsigned=np.array([2**64 - 1], np.uint64),
            no=np.array([False]),
            many=np.array([[1, 2], [3, 4]], np.int8),
            none=np.zeros((0, 3), np.float32),
            text=np.array([b"caf\xc3\xa9"], object),
        )
    ).decode()
    assert text == (
        '{"model_name":"m","model_version":"3","one":0.1,"wide":9223372036854775807,'
        '"unsigned":18446744073709551615,"no":false,"many":[1,2,3,4],"none":[],"text":"café"}'
    )


@pytest.mark.parametrize("array", [np.array([np.nan], np.float32), np.array([b"\xff"], object)])
def test_a_value_that_json_lacks_is_refused(array):
    with pytest.raises(NotJsonRepresentable, match="in a request to infer"):
        encode_generate(reply(y=array))
