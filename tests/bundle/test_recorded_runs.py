"""On the CPU, which records nothing: every run is computed, with the places of a recording."""

import threading

import numpy as np
import onnxruntime
import pytest

from bundle import Datatype, TensorSpec
from bundle.device_runs import Device
from bundle.recorded_runs import RecordedRuns, has_fixed_shapes
from tests.bundle.test_device_runs import session, sum_and_product


@pytest.fixture
def runs():
    return RecordedRuns(session(sum_and_product()), Device("cpu"), outputs=["s", "p"], most=2)


def feeds(rows, seed=0):
    a, b = np.random.default_rng(seed).normal(size=(2, rows, 3)).astype(np.float32)
    return {"a": a, "b": b}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_recording_is_played_with_the_inputs_of_the_run(runs, seed):
    runs.run(feeds(4), ["s"], None)
    given = feeds(4, seed)
    product, total = runs.run(given, ["p", "s"], None)
    np.testing.assert_array_equal(product, given["a"] * given["b"])
    np.testing.assert_array_equal(total, given["a"] + given["b"])
    assert runs.recorded == 1


def test_the_first_sets_of_shapes_are_recorded_and_others_run_all_the_same(runs):
    for rows in (1, 2, 3, 2, 3):
        given = feeds(rows, rows)
        (total,) = runs.run(given, ["s"], None)
        np.testing.assert_array_equal(total, given["a"] + given["b"])
    assert runs.recorded == 2


def test_no_rows_at_all_are_not_recorded(runs):
    (total,) = runs.run(feeds(0), ["s"], None)
    assert total.shape == (0, 3)
    assert runs.recorded == 0


def test_inputs_that_are_not_contiguous_are_played(runs):
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    for _ in range(2):
        (total,) = runs.run({"a": wide[:, ::2], "b": wide[:, 1::2]}, ["s"], None)
        np.testing.assert_array_equal(total, wide[:, ::2] + wide[:, 1::2])


def test_answers_stay_what_they_were_when_the_recording_is_played_again(runs):
    first = runs.run(feeds(4, 1), ["s"], None)[0]
    before = first.copy()
    runs.run(feeds(4, 2), ["s"], None)
    np.testing.assert_array_equal(first, before)


def test_several_threads_take_turns(runs):
    wrong = []

    def work(seed):
        for _ in range(30):
            given = feeds(4, seed)
            (total,) = runs.run(given, ["s"], onnxruntime.RunOptions())
            if not np.array_equal(total, given["a"] + given["b"]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def tensor(*shape):
    return TensorSpec(name="t", datatype=Datatype.FP32, shape=shape)


@pytest.mark.parametrize(
    ("inputs", "outputs", "fixed"),
    [
        ([tensor(1, 3)], [tensor(1, 2)], True),
        ([tensor("batch", 3)], [tensor("batch", 2)], True),
        ([tensor("batch", 3), tensor("batch", 4)], [tensor("batch")], True),
        ([tensor("batch", 3)], [tensor()], True),
        ([tensor("batch", "length")], [tensor("batch", 2)], False),
        ([tensor("batch", 3)], [tensor("found", 2)], False),
        ([tensor("batch", 3)], [tensor("batch", "found")], False),
        ([tensor("batch", 3), tensor("other", 3)], [tensor("batch", 2)], False),
    ],
)
def test_only_the_size_of_the_batch_may_change(inputs, outputs, fixed):
    assert has_fixed_shapes(inputs, outputs) is fixed
