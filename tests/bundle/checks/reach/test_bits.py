import numpy as np
import pytest

from bundle.checks.reach.bits import (
    POSITION,
    SIZE,
    anything,
    by_row,
    compact,
    foulness,
    merge,
    nothing,
    reshape,
)


def test_each_row_has_its_own_bit():
    bits = by_row((3, 4), axis=0, rows=3)
    assert bits.tolist() == [[1], [2], [4]]


def test_a_row_that_takes_several_places_has_its_bit_in_all_of_them():
    assert by_row((6,), axis=0, rows=3).tolist() == [1, 1, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((5, 4), (20,)),
        ((5, 4), (4, 5)),
        ((5, 4, 6), (5, 2, 2, 6)),
        ((5, 4, 6), (20, 6)),
        ((5, 4, 6), (5, 24)),
        ((5, 1, 4), (1, 5, 4, 1)),
        ((5, 2, 3), (10, 3, 1)),
        ((5,), (5, 1, 1)),
    ],
)
def test_reshaped_bits_are_the_bits_of_the_reshaped_tensor(before, after):
    for axis in range(len(before)):
        bits = by_row(before, axis=axis, rows=before[axis])
        expected = np.broadcast_to(bits, before).reshape(after)
        found = reshape(bits, before, after)
        np.testing.assert_array_equal(np.broadcast_to(found, after), expected)


def test_what_is_the_same_along_an_axis_is_kept_once():
    bits = np.broadcast_to(by_row((3, 1, 1), axis=0, rows=3), (3, 4, 5))
    assert compact(bits).shape == (3, 1, 1)
    assert reshape(bits[:, :1, :1], (3, 4, 5), (3, 20)).shape == (3, 1)


def test_a_tensor_without_elements_has_bits_all_the_same():
    assert reshape(nothing(2), (0, 4), (4, 0)).shape == (1, 1)


def test_merging_brings_rows_together():
    assert merge(by_row((3, 2), axis=0, rows=3), [0]).tolist() == [[7]]
    assert anything(by_row((3, 2), axis=0, rows=3)) == 7


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (np.uint32([1, 2, 4]), 0),
        (np.uint32([0, SIZE, POSITION]), 0),
        (np.uint32([1, 2 | SIZE]), 1),
        (np.uint32([1, 2 | POSITION]), 2),
        (np.uint32([1, 3]), 2),
        (np.uint32(6), 2),
    ],
)
def test_foul_is_what_holds_more_than_a_row(bits, expected):
    assert foulness(bits) == expected
