import pytest

from service.batching.buckets import bucket, buckets


def test_the_sizes_are_powers_of_two_as_far_as_a_batch_may_go():
    assert buckets(64) == (1, 2, 4, 8, 16, 32, 64)
    assert buckets(9) == (1, 2, 4, 8)
    assert buckets(1) == (1,)


@pytest.mark.parametrize(
    ("rows", "most", "size"),
    [(0, 8, 0), (1, 8, 1), (2, 8, 2), (3, 8, 4), (5, 8, 8), (8, 8, 8), (5, 7, 5), (9, 8, 9)],
)
def test_a_run_goes_into_the_smallest_that_holds_it_or_stays_as_it_is(rows, most, size):
    assert bucket(rows, most) == size
    assert size in (*buckets(most), rows)
