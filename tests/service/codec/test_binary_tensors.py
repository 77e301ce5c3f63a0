import numpy as np
import pytest

from bundle import Datatype
from service.codec.binary_tensors import array_from_bytes, bytes_from_array
from service.errors import TensorInvalid


def decode(blob, datatype=Datatype.FP32, shape=(2,)):
    return array_from_bytes(memoryview(blob), name="x", datatype=datatype, shape=shape)


def test_numbers_are_little_endian_and_row_major():
    assert decode(b"\1\0\2\0\3\0\4\0", Datatype.INT16, (2, 2)).tolist() == [[1, 2], [3, 4]]


def test_an_aligned_blob_is_not_copied():
    blob = np.arange(4, dtype=np.float32)
    array = array_from_bytes(blob.view(np.uint8).data, name="x", datatype=Datatype.FP32, shape=(4,))
    assert np.shares_memory(array, blob)


def test_a_blob_at_an_odd_address_gives_an_array_that_can_be_read():
    body = b"{" + np.array([1.5, 2.5], np.float64).tobytes()
    array = array_from_bytes(memoryview(body)[1:], name="x", datatype=Datatype.FP64, shape=(2,))
    assert array.flags.aligned
    assert array.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("size", [0, 4, 7, 9, 12])
def test_another_number_of_bytes_is_refused_with_both_numbers(size):
    with pytest.raises(TensorInvalid, match=rf"{size} bytes.*wants 8"):
        decode(bytes(size))


def test_a_shape_beyond_all_memory_is_refused_by_its_numbers_alone():
    with pytest.raises(TensorInvalid, match="wants"):
        decode(bytes(8), shape=(2**62, 2**62))
    with pytest.raises(TensorInvalid, match="too few"):
        decode(bytes(8), Datatype.BYTES, shape=(2**62, 2**62))


def test_a_boolean_is_zero_or_one():
    assert decode(b"\0\1", Datatype.BOOL).tolist() == [False, True]
    with pytest.raises(TensorInvalid, match="0 and 1"):
        decode(b"\0\2", Datatype.BOOL)


def test_bytes_elements_may_be_anything():
    blob = b"\2\0\0\0\xff\0" + b"\0\0\0\0" + b"\1\0\0\0a"
    array = decode(blob, Datatype.BYTES, (3,))
    assert array.tolist() == [b"\xff\0", b"", b"a"]
    assert bytes(bytes_from_array(array, datatype=Datatype.BYTES)) == blob


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"\5\0\0\0ab" + b"\0\0\0\0", "says it has 5 bytes; 6 are left|end after"),
        (b"\xff\xff\xff\xffabcd", "says it has 4294967295 bytes; 4 are left"),
        (b"\2\0\0\0ab\1\0", "end after 1 of 2"),
        (b"\0\0\0\0", "too few"),
        (b"\1\0\0\0a\1\0\0\0bX", "go on for 1 bytes"),
    ],
)
def test_bytes_whose_lengths_do_not_add_up_are_refused(blob, says):
    with pytest.raises(TensorInvalid, match=says):
        decode(blob, Datatype.BYTES, (2,))


def test_an_array_that_is_not_contiguous_is_written_row_major():
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    blob = bytes_from_array(array, datatype=Datatype.INT32)
    assert np.frombuffer(blob, np.int32).tolist() == [0, 3, 1, 4, 2, 5]
