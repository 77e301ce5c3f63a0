import os

import pytest
from structlog.testing import capture_logs

from service.budget import Budget
from service.cores import usable_cores
from service.settings import Settings


def budget(**settings):
    return Budget.of(Settings(**settings))


@pytest.mark.parametrize(
    ("given", "runs", "threads"),
    [
        ({}, 8, 1),
        ({"threads": 1}, 8, 1),
        ({"threads": 2}, 4, 2),
        ({"threads": 3}, 2, 3),
        ({"threads": 0}, 1, 8),
        ({"concurrent_runs": 1}, 1, 8),
        ({"concurrent_runs": 3}, 3, 2),
        ({"concurrent_runs": 2, "threads": 0}, 2, 8),
        ({"concurrent_runs": 2, "threads": 3}, 2, 3),
        ({"concurrent_runs": 9}, 9, 1),
        ({"threads": 9}, 1, 9),
    ],
)
def test_what_is_not_given_is_what_is_left(given, runs, threads):
    made = budget(cores=8, **given)
    assert (made.runs, made.threads) == (runs, threads)


def test_a_setting_wins_over_what_is_found():
    assert budget(cores=1.5).cores.source == "setting"
    assert (budget(cores=1.5).runs, budget(cores=1.5).threads) == (1, 1)
    assert budget().cores == usable_cores()
    assert budget().runs <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({}, False),
        ({"concurrent_runs": 4, "threads": 2}, False),
        ({"concurrent_runs": 5, "threads": 2}, True),
        ({"threads": 9}, True),
    ],
)
def test_it_is_told_and_more_threads_than_cores_are_a_warning(settings, warned):
    with capture_logs() as logs:
        budget(cores=8.5, **settings).log()
    assert logs[0]["event"] == "cores"
    assert (logs[0]["cores"], logs[0]["source"]) == (8.5, "setting")
    assert {"concurrent_runs", "threads", "spinning"} <= logs[0].keys()
    assert [line["log_level"] for line in logs] == ["info"] + ["warning"] * warned


def test_a_model_has_as_many_runs_as_its_threads_leave_room_for():
    made = budget(cores=8)
    assert [made.threads_of(wanted) for wanted in (None, 0, 3)] == [1, 8, 3]
    assert [made.runs_of(threads) for threads in (1, 3, 8, 20)] == [8, 2, 1, 1]
    assert [made.share_of(threads) for threads in (1, 3, 8, 20)] == [1, 3, 8, 8]


def test_there_are_no_more_runs_than_were_asked_for_however_few_threads_a_model_wants():
    made = budget(cores=8, concurrent_runs=2)
    assert [made.runs_of(threads) for threads in (1, 4, 8)] == [2, 2, 1]


def test_one_run_at_a_time_is_one_run_whatever_a_model_asks_for():
    made = budget(cores=8, concurrent_runs=1, threads=1)
    assert made.runs_of(made.threads_of(4)) == 1
