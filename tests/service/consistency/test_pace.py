import pytest

from service.consistency.pace import measure, rows_worth


class Machine:
    """Runs that take as long as a function of their rows says."""

    def __init__(self, seconds, *, right_up_to=10**9):
        self.now = 0.0
        self.sizes = []
        self._seconds = seconds
        self._right_up_to = right_up_to

    def batch(self, rows):
        self.sizes.append(rows)

        def run():
            self.now += self._seconds(rows)

        return run if rows <= self._right_up_to else None

    def paces(self, most=64):
        return measure(self.batch, most=most, clock=lambda: self.now)


def test_a_model_that_takes_the_same_for_any_batch_takes_the_largest():
    assert rows_worth(Machine(lambda rows: 1e-3).paces()) == 64


def test_a_model_that_takes_as_long_for_each_row_takes_none():
    assert rows_worth(Machine(lambda rows: 0.01 * rows).paces()) == 1


def test_a_microsecond_model_pays_for_the_run_and_not_for_the_rows():
    assert rows_worth(Machine(lambda rows: 1e-6 * rows).paces()) == 64


def test_the_smallest_batch_that_nearly_reaches_the_best_is_taken():
    seconds = {1: 0.010, 2: 0.011, 4: 0.022, 8: 0.0435, 16: 0.087, 32: 0.175, 64: 0.35}
    assert rows_worth(Machine(seconds.__getitem__).paces()) == 2


def test_sizes_far_beyond_the_best_are_not_tried():
    machine = Machine(lambda rows: 0.01 * max(rows, 2) ** 2)
    assert rows_worth(machine.paces()) == 2
    assert machine.sizes == [1, 2, 4, 8]


def test_no_size_is_taken_that_is_not_answered_as_alone():
    machine = Machine(lambda rows: 1e-3, right_up_to=8)
    assert rows_worth(machine.paces()) == 8
    assert machine.sizes == [1, 2, 4, 8, 16]


def test_no_size_is_run_that_may_not_be():
    machine = Machine(lambda rows: 1e-3)
    machine.paces(most=10)
    assert machine.sizes == [1, 2, 4, 8]


def test_without_a_measurement_there_are_no_batches():
    assert rows_worth(()) == 1


def test_the_quickest_of_some_runs_counts():
    took = iter([0.5, 0.1, 0.3, 0.4, 0.2])
    machine = Machine(lambda rows: next(took))
    (pace,) = machine.paces(most=1)
    assert pace.seconds == pytest.approx(0.1)
