import numpy as np
import pytest

from bundle import Datatype
from service.classification import check_classifiable, classify
from service.errors import ParameterInvalid


def test_the_largest_values_come_first_with_their_places():
    ranked = classify(np.array([1.0, 9.0, 4.0, 9.0], np.float32), 3)
    assert ranked.tolist() == [b"9.000000:1", b"9.000000:3", b"4.000000:2"]


def test_each_row_of_a_batch_has_its_own_ranking():
    ranked = classify(np.array([[[1, 2]], [[4, 3]]], np.int64), 1)
    assert ranked.tolist() == [[b"2.000000:1"], [b"4.000000:0"]]


def test_no_more_are_given_than_there_are():
    assert classify(np.array([[1.0, 2.0]]), 10).shape == (1, 2)


def test_labels_follow_where_there_are_any():
    ranked = classify(np.array([0.5, 0.25, 2]), 3, labels=["cat", "dog: small"])
    assert ranked.tolist() == [b"2.000000:2", b"0.500000:0:cat", b"0.250000:1:dog: small"]


def test_nan_comes_last():
    ranked = classify(np.array([np.nan, -1.0, np.inf]), 3)
    assert ranked.tolist() == [b"inf:2", b"-1.000000:1", b"nan:0"]


def test_unsigned_values_are_not_negated():
    assert classify(np.array([0, 2**64 - 1], np.uint64), 1).tolist()[0].endswith(b":1")


def test_no_rows_give_no_rows():
    assert classify(np.zeros((0, 5), np.float32), 2).shape == (0, 2)


@pytest.mark.parametrize("datatype", [Datatype.BYTES, Datatype.BOOL, Datatype.FP16, Datatype.BF16])
def test_what_the_extension_does_not_rank_is_refused(datatype):
    with pytest.raises(ParameterInvalid, match=rf"output 'y' is {datatype}"):
        check_classifiable("y", datatype)
