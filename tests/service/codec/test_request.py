import numpy as np
import orjson
import pytest

from bundle import Datatype, DimensionRange
from bundle.tensors import TensorSpec
from service.codec import decode_raw_request, decode_request
from service.errors import (
    BodyCorrupt,
    InputMismatch,
    JsonInvalid,
    NotJsonRepresentable,
    OutputUnknown,
    ParameterInvalid,
    RequestInvalid,
    TensorInvalid,
)
from service.inference import Placement
from service.signature import Signature


def spec(name, datatype="INT32", shape=("rows", 2)):
    return TensorSpec(name=name, datatype=datatype, shape=shape)


TWO = Signature(inputs=(spec("a"), spec("b")), outputs=(spec("z"), spec("m"), spec("h", "FP16")))


def tensor(name, *, data=(1, 2), **more):
    fields = {"name": name, "shape": [1, 2], "datatype": "INT32", "data": data}
    return {k: v for k, v in (fields | more).items() if v is not None}


def blob(name, size=8):
    return tensor(name, data=None, parameters={"binary_data_size": size})


def decode(inputs=None, tail=b"", **fields):
    fields["inputs"] = [tensor("a"), tensor("b")] if inputs is None else inputs
    fields.setdefault("outputs", [{"name": "z"}])
    text = orjson.dumps(fields)
    return decode_request(text + tail, TWO, header_length=len(text) if tail else None)


def test_inputs_are_matched_by_name_in_any_order():
    inputs = decode([tensor("b", data=[3, 4]), tensor("a", data=[1, 2])]).request.inputs
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "a": [[1, 2]],
        "b": [[3, 4]],
    }


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "wants 'a', 'b'.*has none"),
        ([tensor("a")], "also wants 'b'.*has 'a'"),
        ([tensor("a"), tensor("b"), tensor("c")], "'c' is not one of the model's"),
        ([tensor("a"), tensor("a")], "'a' is given twice"),
        ([tensor("a"), tensor("b", datatype="INT64")], "INT64; the model wants INT32"),
        ([tensor("a"), tensor("b", shape=[2])], r"\(2\); the model wants \(rows, 2\)"),
        ([tensor("a"), tensor("b", shape=[1, 3])], r"\(1, 3\); the model wants \(rows, 2\)"),
        ([tensor("a"), tensor("b", shape=[1] * 10_000)], "the model wants"),
    ],
)
def test_inputs_that_are_not_the_models_are_refused(inputs, says):
    with pytest.raises(InputMismatch, match=says):
        decode(inputs)


def test_binary_inputs_are_cut_from_the_tail_in_the_order_of_the_inputs():
    tail = np.array([5, 6, 7, 8], "<i4").tobytes()
    inputs = decode([blob("b"), blob("a")], tail=tail).request.inputs
    assert inputs["b"].tolist() == [[5, 6]]
    assert inputs["a"].tolist() == [[7, 8]]


def test_only_binary_inputs_take_bytes_of_the_tail():
    tail = np.array([5, 6], "<i4").tobytes()
    inputs = decode([tensor("a"), blob("b")], tail=tail).request.inputs
    assert inputs["a"].tolist() == [[1, 2]]
    assert inputs["b"].tolist() == [[5, 6]]


@pytest.mark.parametrize(
    ("inputs", "tail", "error"),
    [
        ([tensor("a"), blob("b")], b"1234567", BodyCorrupt),
        ([tensor("a"), blob("b")], b"123456789", BodyCorrupt),
        ([tensor("a"), tensor("b")], b"1", BodyCorrupt),
        ([tensor("a"), blob("b", 4)], b"1234", TensorInvalid),
        ([tensor("a"), blob("b", 1e30)], b"1", ParameterInvalid),
        ([tensor("a"), blob("b", 2**62)], b"1", BodyCorrupt),
        ([tensor("a"), blob("b", -1)], b"1", ParameterInvalid),
        ([tensor("a"), blob("b", "8")], b"12345678", ParameterInvalid),
        ([tensor("a"), blob("b", True)], b"12345678", ParameterInvalid),
        (
            [tensor("a"), tensor("b", parameters={"binary_data_size": 8})],
            bytes(8),
            ParameterInvalid,
        ),
        ([tensor("a"), tensor("b", data=None)], b"", ParameterInvalid),
    ],
)
def test_binary_sizes_that_do_not_add_up_are_refused(inputs, tail, error):
    with pytest.raises(error):
        decode(inputs, tail=tail)


def test_a_header_length_beyond_the_body_is_refused():
    with pytest.raises(BodyCorrupt, match="is 11; the body has 2"):
        decode_request(b"{}", TWO, header_length=11)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inputs", {"a": 1}),
        ("inputs", "a"),
        ("inputs", ["a"]),
        ("inputs", [None]),
        ("outputs", "z"),
        ("outputs", {"name": "z"}),
        ("outputs", [{}]),
        ("outputs", ["z"]),
        ("outputs", [{"name": 1}]),
        ("id", 7),
        ("id", ["a"]),
        ("parameters", []),
        ("parameters", "a"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(field, value):
    with pytest.raises(JsonInvalid):
        decode(**{field: value})


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": 1},
        {"shape": None},
        {"shape": "1,2"},
        {"shape": {"0": 1}},
        {"datatype": None},
        {"datatype": 3},
        {"parameters": [1]},
    ],
)
def test_an_input_without_its_fields_is_refused(change):
    with pytest.raises(JsonInvalid):
        decode([tensor("a"), tensor("b") | change])


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1, 2]},
        {"shape": [1.0, 2]},
        {"shape": ["1", 2]},
        {"shape": [True, 2]},
        {"shape": [None, 2]},
        {"shape": [[1], 2]},
        {"datatype": "int32"},
        {"datatype": "INT31"},
        {"data": {"0": 1}},
        {"data": 7},
        {"shape": [2**63, 2]},
        {"shape": [1e30, 2]},
        {"shape": [10**12, 2]},
    ],
)
def test_a_tensor_that_cannot_be_is_refused(change):
    with pytest.raises(TensorInvalid):
        decode([tensor("a"), tensor("b") | change])


def test_an_empty_tensor_with_an_absurd_shape_is_refused():
    signature = Signature(inputs=(spec("a", shape=("n", "m")),), outputs=(spec("z"),))
    text = orjson.dumps({"inputs": [tensor("a", shape=[0, 2**40], data=[])]})
    with pytest.raises(TensorInvalid, match="is empty"):
        decode_request(text, signature)


@pytest.mark.parametrize("client_id", ["a", "é\n\"'\\ 漢字 😀", "x" * 500])
def test_an_id_is_kept_exactly(client_id):
    assert decode(id=client_id).request.id == client_id


@pytest.mark.parametrize("client_id", ["", None])
def test_an_empty_id_is_none(client_id):
    assert decode(id=client_id).request.id is None


def test_what_nobody_knows_is_ignored():
    decoded = decode(
        [tensor("a", parameters={"content_type": "np"}, extra=1), tensor("b")],
        model_name="m",
        parameters={"mine": 1.5, "also": "x", "flag": True, "nothing": None},
    )
    assert decoded.request.parameters == {"mine": 1.5, "also": "x", "flag": True}


@pytest.mark.parametrize(
    "parameters",
    [
        {"a": [1]},
        {"a": {"b": 1}},
        {"triton_enable": True},
        {"priority": -1},
        {"priority": "high"},
        {"timeout": 1.5},
        {"sequence_id": 1.5},
        {"sequence_start": 1},
        {"binary_data_output": "true"},
    ],
)
def test_a_request_parameter_that_cannot_be_is_refused(parameters):
    with pytest.raises(ParameterInvalid):
        decode(parameters=parameters)


def test_parameters_of_scheduling_and_sequences_are_accepted():
    parameters = {"priority": 1, "timeout": 0, "sequence_id": "s", "sequence_start": True}
    assert decode(parameters=parameters).request.parameters == parameters


@pytest.mark.parametrize(
    "parameters", [{"classification": "3"}, {"classification": -1}, {"binary_data": "yes"}]
)
def test_an_output_parameter_that_cannot_be_is_refused(parameters):
    with pytest.raises(ParameterInvalid):
        decode(outputs=[{"name": "z", "parameters": parameters}])


SHARED = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 4}


def test_an_input_in_shared_memory_is_left_where_it_is():
    tail = np.array([5, 6], "<i4").tobytes()
    decoded = decode([tensor("b", data=None, parameters=SHARED), blob("a")], tail=tail)
    assert decoded.request.inputs["a"].tolist() == [[5, 6]]
    (shared,) = decoded.request.shared_inputs.values()
    assert (shared.datatype, shared.shape) == (Datatype.INT32, (1, 2))
    assert shared.placement == Placement(region="r", offset=4, byte_size=8)


def test_an_output_in_shared_memory_needs_no_form_of_its_own():
    decoded = decode(
        outputs=[{"name": "h", "parameters": SHARED | {"binary_data": False}}, {"name": "z"}],
        parameters={"binary_data_output": True},
    )
    assert decoded.request.outputs == ("z", "h")
    assert decoded.binary_outputs == {"z"}
    placements = decoded.request.shared_outputs
    assert placements == {"h": Placement(region="r", offset=4, byte_size=8)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shared_memory_region": None}, "'shared_memory_byte_size' and no 'shared_memory_region'"),
        ({"shared_memory_region": 1}, "'shared_memory_region' must be a string; got 1"),
        ({"shared_memory_byte_size": None}, "and no 'shared_memory_byte_size'"),
        ({"shared_memory_byte_size": -1}, "must be a number of bytes"),
        ({"shared_memory_byte_size": 1.0}, "must be a number of bytes"),
        ({"shared_memory_byte_size": True}, "must be a number of bytes"),
        ({"shared_memory_offset": -1}, "must be a number of bytes"),
        ({"shared_memory_offset": "4"}, "must be a number of bytes"),
        ({"shared_memory_offset": 2.0**70}, "must be a number of bytes"),
    ],
)
def test_a_place_in_shared_memory_that_cannot_be_is_refused(change, says):
    parameters = SHARED | change
    with pytest.raises(ParameterInvalid, match=says):
        decode([tensor("a"), tensor("b", data=None, parameters=parameters)])
    with pytest.raises(ParameterInvalid, match=says):
        decode(outputs=[{"name": "z", "parameters": parameters}])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parameters": SHARED}, "'b' has 'data' and 'shared_memory_region'; it wants exactly one"),
        (
            {"data": None, "parameters": SHARED | {"binary_data_size": 8}},
            "'b' has 'binary_data_size' and 'shared_memory_region'",
        ),
        ({"data": None}, "'b' has no data; it wants exactly one"),
    ],
)
def test_an_input_has_one_source(changes, says):
    with pytest.raises(ParameterInvalid, match=says):
        decode([tensor("a"), tensor("b", **changes)])


def test_classes_do_not_go_to_shared_memory():
    parameters = SHARED | {"classification": 2}
    with pytest.raises(ParameterInvalid, match="'z' is asked for as classes and in shared memory"):
        decode(outputs=[{"name": "z", "parameters": parameters}])


def test_an_output_that_is_asked_for_in_two_ways_is_refused():
    again = [{"name": "z", "parameters": {"binary_data": True}}] * 2
    assert decode(outputs=again).binary_outputs == {"z"}
    with pytest.raises(ParameterInvalid, match="'z' is listed twice with different parameters"):
        decode(outputs=[*again, {"name": "z"}])


def test_outputs_are_given_in_the_models_order_and_once():
    decoded = decode(outputs=[{"name": "m"}, {"name": "z"}, {"name": "m"}])
    assert decoded.request.outputs == ("z", "m")


def test_an_unknown_output_is_refused():
    with pytest.raises(OutputUnknown, match=r"'q'.*has 'z', 'm', 'h'"):
        decode(outputs=[{"name": "q"}])


@pytest.mark.parametrize("outputs", [[], None])
def test_no_outputs_named_are_all_outputs(outputs):
    decoded = decode(outputs=outputs, parameters={"binary_data_output": True})
    assert decoded.request.outputs == ("z", "m", "h")
    assert decoded.binary_outputs == {"z", "m", "h"}


def test_an_outputs_own_choice_wins_over_the_requests():
    decoded = decode(
        outputs=[{"name": "z", "parameters": {"binary_data": False}}, {"name": "m"}],
        parameters={"binary_data_output": True},
    )
    assert decoded.binary_outputs == {"m"}


def test_half_precision_as_json_is_refused_before_anything_is_computed():
    with pytest.raises(NotJsonRepresentable, match="'h' is FP16"):
        decode(outputs=[])


def test_parameters_that_are_null_are_left_out():
    listed = [{"name": "z", "parameters": None}, {"name": "m", "parameters": {"binary_data": None}}]
    decoded = decode(
        [tensor("a", parameters={"binary_data_size": None}), tensor("b")],
        outputs=listed,
        parameters={"binary_data_output": True, "priority": None},
    )
    assert decoded.request.parameters == {"binary_data_output": True}
    assert decoded.binary_outputs == {"z", "m"}


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_a_negative_zero_keeps_its_sign(datatype):
    signature = Signature(inputs=(spec("a", datatype, (2,)),), outputs=(spec("z"),))
    text = orjson.dumps({"inputs": [tensor("a", shape=[2], datatype=datatype, data=[-0.0, 0.0])]})
    array = decode_request(text, signature).request.inputs["a"]
    assert np.signbit(array).tolist() == [True, False]


MANY = 100_000


LARGE = {
    "name": {"inputs": [tensor("a" * MANY), tensor("b")]},
    "name of zeros": {"inputs": [tensor("\0" * MANY), tensor("b")]},
    "datatype": {"inputs": [tensor("a", datatype="I" * MANY), tensor("b")]},
    "rank": {"inputs": [tensor("a", shape=[1] * MANY), tensor("b")]},
    "shape": {"inputs": [tensor("a", shape=[2**63] * MANY), tensor("b")]},
    "element": {"inputs": [tensor("a", data=["x" * MANY, 1]), tensor("b")]},
    "input parameter": {"inputs": [tensor("a", parameters={"x" * MANY: []}), tensor("b")]},
    "inputs": {"inputs": [tensor("a")] * MANY},
    "output": {"outputs": [{"name": "z" * MANY}]},
    "classes": {"outputs": [{"name": "z", "parameters": {"classification": "9" * MANY}}]},
    "reserved parameter": {"parameters": {"triton_" + "x" * MANY: 1}},
    "priority": {"parameters": {"priority": "x" * MANY}},
}


@pytest.mark.parametrize("large", LARGE)
def test_a_message_is_short_whatever_the_request_says(large):
    with pytest.raises(RequestInvalid) as caught:
        decode(**LARGE[large])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        '{"inputs": DEEP}',
        '{"inputs": [DEEP]}',
        '{"inputs": [{"name": DEEP}]}',
        '{"inputs": [{"name": "a", "datatype": "INT32", "shape": DEEP}]}',
        '{"inputs": [{"name": "a", "datatype": "INT32", "shape": [1, 2], "data": DEEP}]}',
        '{"inputs": [], "outputs": [DEEP]}',
        '{"inputs": [], "id": DEEP}',
        '{"inputs": [], "parameters": {"x": DEEP}}',
    ],
)
def test_what_is_nested_deeper_than_python_recurses_is_refused(text):
    deep = "[" * 1000 + "]" * 1000
    with pytest.raises(RequestInvalid) as caught:
        decode_request(text.replace("DEEP", deep).encode(), TWO)
    assert len(str(caught.value)) < 500


def test_a_hundred_thousand_parameters_are_read():
    parameters = {f"p{number}": number for number in range(MANY)}
    assert decode(parameters=parameters).request.parameters == parameters


def test_a_hundred_thousand_outputs_are_not():
    decoded = decode(outputs=[{"name": "z"}, {"name": "z"}])
    assert decoded.request.outputs == ("z",)
    with pytest.raises(ParameterInvalid, match="outputs are listed, and the model has"):
        decode(outputs=[{"name": "z"}] * MANY)


class TestRawRequest:
    def only(self, datatype="FP32", shape=("rows", 2)):
        return Signature(inputs=(spec("x", datatype, shape),), outputs=(spec("y"), spec("z")))

    def test_its_one_dynamic_dimension_follows_from_the_number_of_bytes(self):
        body = np.arange(6, dtype="<f4").tobytes()
        decoded = decode_raw_request(body, self.only())
        assert decoded.request.inputs["x"].tolist() == [[0, 1], [2, 3], [4, 5]]
        assert decoded.request.outputs == ("y", "z")
        assert decoded.binary_outputs == {"y", "z"}

    def test_a_fixed_shape_is_taken_as_it_is(self):
        decoded = decode_raw_request(bytes(16), self.only(shape=(2, 2)))
        assert decoded.request.inputs["x"].shape == (2, 2)

    def test_bytes_are_one_element_without_a_length(self):
        decoded = decode_raw_request(b"\xffabc", self.only("BYTES", ("n",)))
        assert decoded.request.inputs["x"].tolist() == [b"\xffabc"]

    def test_an_empty_body_is_no_element(self):
        with pytest.raises(TensorInvalid, match="the body is empty"):
            decode_raw_request(b"", self.only("BYTES", ("n",)))

    @pytest.mark.parametrize("body", [b"", b"1234567"])
    def test_a_number_of_bytes_that_fits_no_shape_is_refused(self, body):
        with pytest.raises(TensorInvalid, match="multiple of 8"):
            decode_raw_request(body, self.only())

    def test_a_fixed_shape_with_other_bytes_is_refused(self):
        with pytest.raises(TensorInvalid, match="wants 16"):
            decode_raw_request(bytes(15), self.only(shape=(2, 2)))

    @pytest.mark.parametrize("shape", [("a", "b"), ("a", 2, "b")])
    def test_two_dynamic_dimensions_cannot_be_told(self, shape):
        with pytest.raises(InputMismatch, match="only one dynamic dimension"):
            decode_raw_request(bytes(8), self.only(shape=shape))

    def test_several_inputs_cannot_be_told(self):
        with pytest.raises(InputMismatch, match="has 2"):
            decode_raw_request(bytes(8), TWO)

    def test_several_bytes_elements_cannot_be_told(self):
        with pytest.raises(InputMismatch, match="one BYTES element"):
            decode_raw_request(b"abc", self.only("BYTES", ("n", 2)))


def test_a_dynamic_dimension_is_held_to_what_the_model_was_exported_for():
    signature = Signature(
        inputs=(spec("a", shape=("rows", "length")),),
        outputs=(spec("z"),),
        dimensions={"length": DimensionRange(minimum=2, maximum=3)},
    )

    def decode_length(length):
        data = list(range(length))
        text = orjson.dumps({"inputs": [tensor("a", shape=[1, length], data=data)]})
        return decode_request(text, signature)

    decode_length(2)
    decode_length(3)
    for length in (1, 4):
        with pytest.raises(InputMismatch, match=f"'length'.* is {length};.*2 to 3"):
            decode_length(length)
    assert signature.inputs[0].datatype is Datatype.INT32
