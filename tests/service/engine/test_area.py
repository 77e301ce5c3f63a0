import os

import ml_dtypes
import numpy as np
import pytest

from service.engine.area import Area


@pytest.fixture
def ends():
    """Two mappings of the same memory, as two processes have them."""
    one = Area.create()
    other = Area(os.dup(one.fd))
    yield one, other
    one.close()
    other.close()


DTYPES = [
    np.bool_,
    np.uint8,
    np.int16,
    np.int32,
    np.int64,
    np.uint64,
    np.float16,
    np.float32,
    np.float64,
    ml_dtypes.bfloat16,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_a_tensor_is_there_at_the_other_end(ends, dtype):
    one, other = ends
    array = np.arange(6).reshape(2, 3).astype(dtype)
    got = other.get(one.put([("x", (array,))]), copy=False)["x"]
    assert got.dtype == array.dtype
    assert (got == array).all()


def test_pieces_become_one(ends):
    one, other = ends
    pieces = [np.full((n, 2), n, np.float32) for n in (1, 3, 2)]
    got = other.get(one.put([("x", pieces)]), copy=False)["x"]
    assert got.tolist() == np.concatenate(pieces).tolist()


def test_pieces_that_are_views_become_one(ends):
    one, other = ends
    array = np.arange(24, dtype=np.int32).reshape(4, 6)[:, ::2]
    got = other.get(one.put([("x", [array[:1], array[1:]])]), copy=True)["x"]
    assert got.tolist() == array.tolist()


def test_strings_of_any_bytes(ends):
    one, other = ends
    array = np.array([[b"", b"\xff\x00"], [b"long" * 999, b"x"]], dtype=object)
    got = other.get(one.put([("s", [array[:1], array[1:]])]), copy=False)["s"]
    assert got.tolist() == array.tolist()


def test_scalars_and_empty_tensors(ends):
    one, other = ends
    tensors = [
        ("scalar", (np.float64(2.5),)),
        ("empty", (np.empty((0, 4), np.int8),)),
        ("none", (np.empty((0,), object),)),
    ]
    tensors[0] = ("scalar", (np.array(2.5),))
    got = other.get(one.put(tensors), copy=False)
    assert got["scalar"].shape == ()
    assert got["scalar"] == 2.5
    assert got["empty"].shape == (0, 4)
    assert got["none"].shape == (0,)


def test_it_grows_and_the_other_end_follows(ends):
    one, other = ends
    for size in (10, 100_000, 5, 1_000_000):
        array = np.arange(size, dtype=np.float64)
        assert (other.get(one.put([("x", (array,))]), copy=False)["x"] == array).all()
        assert (one.get(other.put([("y", (array * 2,))]), copy=False)["y"] == array * 2).all()


def test_a_copy_outlasts_the_next_tensor_and_a_view_does_not(ends):
    one, other = ends
    laid = one.put([("x", (np.zeros(4),))])
    view, copy = other.get(laid, copy=False)["x"], other.get(laid, copy=True)["x"]
    one.put([("x", (np.ones(4),))])
    assert view.tolist() == [1] * 4
    assert copy.tolist() == [0] * 4


def test_what_a_large_tensor_took_is_returned(ends):
    one, other = ends
    large = np.ones(20 * 2**20, np.uint8)
    other.get(one.put([("x", (large,))]), copy=False)
    one.shrink()
    assert os.fstat(one.fd).st_size == 0
    small = np.arange(3)
    assert other.get(one.put([("x", (small,))]), copy=False)["x"].tolist() == [0, 1, 2]


def test_after_that_the_other_end_writes_where_there_was_memory(ends):
    one, other = ends
    large, small = np.ones(20 * 2**20, np.uint8), np.ones(1, np.uint8)
    other.get(one.put([("x", (large,))]), copy=False)
    one.shrink()
    one.put([("x", (small,))])
    assert other.note(*one.leave(b"your turn")) == b"your turn"
    got = one.get(other.put([("y", (large,))]), copy=False)["y"]
    assert got.sum() == large.size


def test_a_note_lies_behind_the_tensors(ends):
    one, other = ends
    laid = one.put([("x", (np.arange(5),))])
    assert other.note(*one.leave(b"n" * 10_000)) == b"n" * 10_000
    assert other.get(laid, copy=False)["x"].tolist() == [0, 1, 2, 3, 4]


def test_a_small_one_is_kept(ends):
    one, _ = ends
    one.put([("x", (np.ones(10),))])
    one.shrink()
    assert os.fstat(one.fd).st_size > 0
