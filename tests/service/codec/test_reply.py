import numpy as np
import orjson

from bundle.tensors import TensorSpec
from service.codec import encode_reply
from service.inference import InferenceReply, OutputTensor


def reply(**arrays):
    outputs = tuple(
        OutputTensor(TensorSpec(name=name, datatype=datatype, shape=("?",) * array.ndim), array)
        for name, (datatype, array) in arrays.items()
    )
    return InferenceReply(model_name="m", model_version=10, id=None, outputs=outputs)


INTEGERS = ("INT64", np.array([[1, -(2**63)], [2**63 - 1, 0]]))
FLOATS = ("FP32", np.array([0.1, 1e-45], np.float32))


def test_json_is_flat_and_exact():
    encoded = encode_reply(reply(i=INTEGERS, f=FLOATS), binary_outputs=set())
    assert encoded.header_length is None
    assert orjson.loads(encoded.body) == {
        "model_name": "m",
        "model_version": "10",
        "outputs": [
            {
                "name": "i",
                "datatype": "INT64",
                "shape": [2, 2],
                "data": [1, -(2**63), 2**63 - 1, 0],
            },
            {"name": "f", "datatype": "FP32", "shape": [2], "data": [0.1, 1e-45]},
        ],
    }


def test_booleans_are_true_and_false():
    encoded = encode_reply(reply(b=("BOOL", np.array([True, False]))), binary_outputs=set())
    assert b'"data":[true,false]' in encoded.body


def test_json_and_binary_outputs_share_a_reply():
    encoded = encode_reply(reply(i=INTEGERS, f=FLOATS), binary_outputs={"i"})
    head = orjson.loads(encoded.body[: encoded.header_length])
    first, second = head["outputs"]
    assert first["parameters"] == {"binary_data_size": 32}
    assert "data" not in first
    assert second["data"] == [0.1, 1e-45]
    tail = encoded.body[encoded.header_length :]
    np.testing.assert_array_equal(np.frombuffer(tail, "<i8").reshape(2, 2), INTEGERS[1])


def test_an_empty_binary_output_needs_no_header_length():
    encoded = encode_reply(reply(e=("FP32", np.zeros((0, 4), np.float32))), binary_outputs={"e"})
    assert encoded.header_length is None
    output = orjson.loads(encoded.body)["outputs"][0]
    assert output["parameters"] == {"binary_data_size": 0}
    assert output["shape"] == [0, 4]


def test_fields_that_are_not_there_are_left_out():
    encoded = encode_reply(reply(), binary_outputs=set())
    assert orjson.loads(encoded.body).keys() == {"model_name", "model_version", "outputs"}
