import pytest

from bundle import AS_IT_COMES, GraphLevel, ProviderPolicy, SessionTuning
from normserve.tune.candidates import batch_sizes, sessions, shares, thread_counts
from normserve.tune.model import Limits
from normserve.tune.setting import Setting
from service.budget import Budget
from service.consistency.pace import Pace
from service.cores import Cores

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
BASE = Setting(threads=1, instances=1, rows=1, tuning=AS_IT_COMES)
BATCHED = Setting(threads=1, instances=1, rows=8, tuning=AS_IT_COMES)


def limits(cores, *, runs=None):
    budget = Budget(cores=Cores(float(cores), "setting"), runs=runs or cores, threads=1)
    return Limits(policy=ProviderPolicy.CPU, budget=budget, max_rows=64)


@pytest.mark.parametrize(
    ("cores", "ways"),
    [
        (1, {(1, 1)}),
        (2, {(1, 1), (1, 2), (2, 1)}),
        (6, {(1, 3), (1, 6), (2, 1), (2, 3), (4, 1), (6, 1)}),
    ],
)
def test_threads_and_runs_share_the_cores_and_no_more(cores, ways):
    found = list(shares(BASE, limits(cores), most_rows=1))
    assert {(way.threads, way.instances) for way in found} == ways
    assert all(way.threads * way.instances <= cores for way in found)


def test_runs_are_no_more_than_the_server_lets_go_on():
    found = shares(BASE, limits(8, runs=2), most_rows=1)
    assert max(way.instances for way in found) == 2


@pytest.mark.parametrize(("most", "rows"), [(64, {8, 16}), (8, {8})])
def test_shares_are_tried_with_more_rows_too(most, rows):
    assert {way.rows for way in shares(BATCHED, limits(2), most_rows=most)} == rows


def test_for_a_run_alone_only_threads_matter():
    found = [(way.threads, way.instances) for way in thread_counts(BASE, limits(6))]
    assert found == [(1, 6), (2, 3), (4, 1), (6, 1)]


def test_sizes_are_those_that_were_quick_enough_when_they_were_established():
    seconds = {1: 1.0, 2: 1.0, 4: 1.0, 8: 2.2, 16: 9.0}
    paces = [Pace(rows=rows, seconds=took) for rows, took in seconds.items()]
    assert [way.rows for way in batch_sizes(BASE, paces)] == [1, 4, 8]
    assert list(batch_sizes(BASE, [])) == []


def test_each_option_of_a_session_is_tried_by_itself():
    found = [str(way.tuning) for way in sessions(BASE, limits(2), provider=CPU)]
    assert found == [
        "level extended",
        "level basic",
        "level none",
        "mem_arena false",
        "mem_pattern false",
        "inter_op_threads 2",
    ]


def test_an_option_that_is_set_is_tried_without_too():
    tuning = SessionTuning(level=GraphLevel.BASIC, inter_op_threads=4, mem_arena=False)
    base = Setting(threads=1, instances=1, rows=1, tuning=tuning)
    found = {way.tuning for way in sessions(base, limits(2), provider=CPU)}
    assert SessionTuning(inter_op_threads=4, mem_arena=False) in found
    assert SessionTuning(level=GraphLevel.BASIC, mem_arena=False) in found
    assert SessionTuning(level=GraphLevel.BASIC, inter_op_threads=4) in found


def test_branches_at_the_same_time_leave_room_for_fewer_runs():
    base = Setting(threads=1, instances=4, rows=1, tuning=AS_IT_COMES)
    (way,) = [w for w in sessions(base, limits(4), provider=CPU) if w.tuning.inter_op_threads > 1]
    assert (way.tuning.inter_op_threads, way.instances) == (4, 1)


def test_branches_take_their_part_of_the_cores():
    base = Setting(threads=1, instances=4, rows=1, tuning=SessionTuning(inter_op_threads=2))
    found = {(way.threads, way.instances) for way in shares(base, limits(4), most_rows=1)}
    assert found == {(1, 1), (1, 2), (2, 1)}


def test_a_provider_has_options_of_its_own():
    options = [
        option
        for way in sessions(BASE, limits(1), provider=CUDA)
        for option in way.tuning.provider_options
    ]
    assert (CUDA, "cudnn_conv_algo_search", "EXHAUSTIVE") in options
