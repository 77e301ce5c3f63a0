import numpy as np
import pytest

from bundle import Datatype
from service.codec.json_tensors import array_from_json, json_from_array
from service.errors import NotJsonRepresentable, TensorInvalid


def decode(data, datatype=Datatype.FP32, shape=(2, 2)):
    return array_from_json(data, name="x", datatype=datatype, shape=shape)


@pytest.mark.parametrize("data", [[1, 2.5, 3, 4], [[1, 2.5], [3, 4]]])
def test_flat_and_nested_data_are_the_same_array(data):
    array = decode(data)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1, 2.5], [3, 4]])


@pytest.mark.parametrize(
    "data",
    [
        [[1, 2], [3]],
        [[1, 2, 3, 4]],
        [[1], [2], [3], [4]],
        [[1, 2], 3, 4],
        [[[1, 2]], [[3, 4]]],
        [[[1], [2]], [[3], [4]]],
        [[1, 2], [3, 4], []],
        [1, [2, 3, 4]],
    ],
)
def test_nesting_that_contradicts_the_shape_is_refused(data):
    with pytest.raises(TensorInvalid):
        decode(data)


@pytest.mark.parametrize("data", [[], [1], [1, 2, 3], [1, 2, 3, 4, 5]])
def test_another_number_of_elements_is_refused_with_both_numbers(data):
    with pytest.raises(TensorInvalid, match=rf"{len(data)} elements.*wants 4"):
        decode(data)


def test_a_huge_shape_is_refused_before_anything_is_allocated():
    with pytest.raises(TensorInvalid, match="wants 4000000000000"):
        decode([1, 2, 3, 4], shape=(10**12, 4))


@pytest.mark.parametrize(
    ("data", "shape"), [([], (0, 4)), ([[], []], (2, 0)), ([], (2, 0)), ([[], []], (2, 0, 3))]
)
def test_empty_tensors_keep_their_shape(data, shape):
    assert decode(data, shape=shape).shape == shape


def test_a_scalar_is_a_list_of_one():
    assert decode([5], shape=()).shape == ()


@pytest.mark.parametrize("data", [5, "5", None, {"0": 5}, True])
def test_data_that_are_no_array_are_refused(data):
    with pytest.raises(TensorInvalid, match="must be an array"):
        decode(data, shape=(1,))


@pytest.mark.parametrize(
    ("datatype", "element"),
    [
        ("FP32", "1"),
        ("FP32", None),
        ("FP32", True),
        ("FP64", {"a": 1}),
        ("FP64", [1]),
        ("INT32", 1.0),
        ("INT32", 1.5),
        ("INT32", True),
        ("INT64", 1.8446744073709552e19),
        ("UINT8", "1"),
        ("BOOL", 1),
        ("BOOL", 0.0),
        ("BOOL", "true"),
        ("BYTES", 1),
        ("BYTES", None),
    ],
)
def test_an_element_of_the_wrong_kind_is_refused_with_its_place(datatype, element):
    good = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)
    with pytest.raises(TensorInvalid, match=r"element 1 is|nested"):
        decode([good, element], datatype=Datatype(datatype), shape=(2,))


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("signed", [True, False])
def test_integers_are_exact_to_their_limits_and_refused_beyond(bits, signed):
    datatype = Datatype(f"{'' if signed else 'U'}INT{bits}")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    assert decode([low, high], datatype=datatype, shape=(2,)).tolist() == [low, high]
    for beyond in (low - 1, high + 1):
        with pytest.raises(TensorInvalid, match=f"{low} to {high}"):
            decode([low, beyond], datatype=datatype, shape=(2,))


def test_a_number_beyond_single_precision_is_refused_not_made_infinite():
    with pytest.raises(TensorInvalid, match="1e\\+39"):
        decode([1, 1e39], shape=(2,))
    assert decode([1e39], datatype=Datatype.FP64, shape=(1,)).tolist() == [1e39]


@pytest.mark.parametrize("datatype", [Datatype.FP16, Datatype.BF16])
def test_half_precision_is_refused_with_the_way_out(datatype):
    with pytest.raises(TensorInvalid, match="binary tensor data"):
        decode([1], datatype=datatype, shape=(1,))
    with pytest.raises(NotJsonRepresentable, match="binary_data"):
        json_from_array(np.zeros(1, datatype.numpy), name="y", datatype=datatype)


def test_text_becomes_utf8_bytes():
    array = decode(["é", "", "a\0b"], datatype=Datatype.BYTES, shape=(3,))
    assert array.tolist() == ["é".encode(), b"", b"a\0b"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", [Datatype.FP32, Datatype.FP64])
def test_an_output_that_is_not_finite_is_refused_with_its_place(value, datatype):
    array = np.array([[0.0, 1.0], [value, 2.0]], datatype.numpy)
    with pytest.raises(NotJsonRepresentable, match=r"\[1, 0\].*binary_data"):
        json_from_array(array, name="y", datatype=datatype)


def test_an_output_of_bytes_that_are_no_text_is_refused():
    array = np.array([b"\xff"], object)
    with pytest.raises(NotJsonRepresentable, match="UTF-8"):
        json_from_array(array, name="y", datatype=Datatype.BYTES)
