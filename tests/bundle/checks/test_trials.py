import time

import numpy as np
import pytest

from bundle import InputInvalid, Tolerance
from bundle.certificate import Neighbours
from bundle.checks.batch import NotBatchable
from bundle.checks.rows import Pool
from bundle.checks.trials import run_trials, solo

POOL = Pool("random", {"x": np.arange(32, dtype=np.float32).reshape(8, 4) - 15})
TOLERANCES = {"y": Tolerance(atol=1e-3, rtol=0.0, source="test")}


class Model:
    """Gives for each batch what a function makes of it."""

    def __init__(self, function):
        self.function = function

    def run(self, feeds, outputs=None):
        return {"y": self.function(feeds["x"])}


def tried(function, *, thorough=True, seconds=10.0, sizes=(2, 3, 5, 8)):
    model = Model(function)
    return run_trials(
        model,
        [solo(model, POOL, seconds=10.0)],
        sizes=sizes,
        tolerances=TOLERANCES,
        thorough=thorough,
        seconds=seconds,
        seed=0,
    )


def test_rows_that_do_not_move_are_bitwise():
    trials = tried(lambda x: 2 * x)
    assert trials.is_bitwise
    assert trials.witness is None
    assert trials.noise == 0


def test_rows_that_move_by_less_than_the_tolerance_are_noise():
    trials = tried(lambda x: x + np.float32(1e-4) * (len(x) > 1))
    assert not trials.is_bitwise
    assert trials.witness is None
    assert trials.noise == pytest.approx(1e-4, rel=0.1)


def test_a_zero_of_another_sign_is_not_bitwise():
    trials = tried(lambda x: np.zeros_like(x) * (1 if len(x) > 1 else -1))
    assert not trials.is_bitwise
    assert trials.noise == 0


def test_the_trials_end_with_the_first_row_that_moves():
    trials = tried(lambda x: x - x.mean(0))
    assert trials.witness is not None
    assert len(trials.cells) == 1
    assert trials.cells[0].worst == trials.noise > 1e-3


@pytest.mark.parametrize("place", range(8))
def test_every_place_of_a_batch_is_looked_at(place):
    def function(x):
        y = x.copy()
        y[place : place + 1] += len(x) > 1
        return y

    witness = tried(function).witness
    assert witness is not None
    assert witness.place == place


@pytest.mark.parametrize("neighbours", ["zeros", "loud", "nan", "infinite", "duplicates"])
def test_each_kind_of_neighbour_is_what_it_says(neighbours):
    seen = {
        "zeros": lambda x: (x == 0).all(1).any(),
        "loud": lambda x: (np.abs(x[np.isfinite(x)]) > 1e4).any(),
        "nan": lambda x: np.isnan(x).any(),
        "infinite": lambda x: np.isinf(x).any(),
        "duplicates": lambda x: len(np.unique(x, axis=0)) < len(x),
    }[neighbours]
    witness = tried(lambda x: x + np.float32(len(x) > 1 and seen(x))).witness
    assert witness is not None
    if neighbours != "duplicates":  # two hostile neighbours are equal rows as well
        assert witness.neighbours == neighbours


def test_nan_that_appears_is_no_agreement():
    witness = tried(lambda x: x * (np.nan if len(x) == 5 else 1)).witness
    assert witness is not None
    assert witness.size == 5
    assert witness.batched == "nan"


def test_answers_of_another_shape_are_a_witness():
    witness = tried(lambda x: np.zeros((len(x), len(x)), np.float32)).witness
    assert witness is not None
    assert witness.alone == "of shape (1,)"


def test_an_output_with_other_rows_is_not_batchable():
    with pytest.raises(NotBatchable, match=r"shape \(1, 4\) for 3 rows"):
        tried(lambda x: x[:1], sizes=(3,))


def refusing(x):
    if len(x) > 1:
        raise InputInvalid("one at a time.")
    return x


def test_a_model_that_takes_one_row_only_is_not_batchable():
    with pytest.raises(NotBatchable, match="does not run with 2 rows beside distinct ones: one"):
        tried(refusing)


def test_a_model_that_takes_no_single_row_is_not_batchable():
    def function(x):
        raise InputInvalid("never.")

    with pytest.raises(NotBatchable, match="does not run with one row: never"):
        tried(function)


def without_nan(x):
    if np.isnan(x).any():
        raise InputInvalid("not a number.")
    return x


def test_a_neighbour_that_is_refused_alone_too_is_left_out():
    trials = tried(without_nan)
    assert trials.is_bitwise
    assert Neighbours.NAN not in {cell.neighbours for cell in trials.cells}


def test_a_neighbour_that_is_refused_only_in_a_batch_is_a_dependence():
    def function(x):
        return without_nan(x) if len(x) > 1 else x

    with pytest.raises(NotBatchable, match="beside nan ones"):
        tried(function)


@pytest.mark.parametrize(
    ("thorough", "kinds"),
    [
        (False, {Neighbours.DISTINCT}),
        (True, {Neighbours.DISTINCT, Neighbours.NAN, Neighbours.LOUD}),
    ],
)
def test_only_the_smallest_batches_are_tried_when_time_is_over(thorough, kinds):
    trials = tried(lambda x: x, thorough=thorough, seconds=0.0)
    assert {cell.neighbours for cell in trials.cells} == kinds
    assert {cell.size for cell in trials.cells} == {2}


def test_rows_of_a_slow_model_are_left_out():
    def function(x):
        time.sleep(0.001)
        return x

    pool, answers = solo(Model(function), POOL, seconds=0.0)
    assert pool.rows == len(answers) == 3


def test_rows_that_were_made_up_and_are_refused_are_left_out():
    def function(x):
        if x.max() > 0:
            raise InputInvalid("too large.")
        return x

    pool, _ = solo(Model(function), POOL, seconds=1.0)
    assert pool.rows == 4
