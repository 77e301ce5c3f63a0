import asyncio
import time

import pytest

from bundle.errors import RunFailed
from service.errors import (
    InferenceRefused,
    NotJsonRepresentable,
    Overloaded,
    RequestQuarantined,
    RunLost,
    TimeoutExpired,
)
from service.statistics import Duration, ExecutionTimes, Recorder

ALONE = ExecutionTimes(queue=3_000_000, compute=5_000)


def answer(recorder, times=ALONE, *, rows=1, inferences=1):
    with recorder.begin() as passage:
        passage.decoded()
        passage.computed(times, rows=rows, inferences=inferences)


def fail(recorder, error):
    with pytest.raises(type(error)), recorder.begin():
        raise error


def test_a_recorder_that_was_told_nothing_knows_nothing():
    seen = Recorder().statistics
    assert (seen.last_inference_ms, seen.inference_count, seen.execution_count) == (0, 0, 0)
    assert seen.success == seen.fail == seen.queue == Duration()
    assert (seen.batches, seen.pending) == ((), 0)
    assert set(seen.failures) == {"OTHER", "REJECTED", "CANCELED", "BACKEND"}


def test_the_parts_of_an_answered_request_add_up_to_no_more_than_all_of_it():
    recorder = Recorder()
    for _ in range(3):
        answer(recorder, ExecutionTimes(queue=0, compute=0))
    seen = recorder.statistics
    parts = (seen.queue, seen.compute_input, seen.compute_infer, seen.compute_output)
    assert {part.count for part in (*parts, seen.success)} == {3}
    assert sum(part.ns for part in parts) <= seen.success.ns
    assert seen.last_inference_ms > 1.6e12


def test_a_run_that_is_one_requests_alone_has_its_rows():
    recorder = Recorder()
    answer(recorder, rows=8, inferences=8)
    seen = recorder.statistics
    assert (seen.success.count, seen.inference_count, seen.execution_count) == (1, 8, 1)
    (batch,) = seen.batches
    assert (batch.batch_size, batch.compute_infer) == (8, Duration(1, 5_000))


def test_requests_that_share_a_run_are_one_execution():
    recorder = Recorder()
    for first_row in (0, 2, 5):
        times = ExecutionTimes(queue=1, compute=5_000, batch_size=9, first_row=first_row)
        answer(recorder, times, rows=3, inferences=3)
    seen = recorder.statistics
    assert (seen.success.count, seen.inference_count, seen.execution_count) == (3, 9, 1)
    assert seen.compute_infer == Duration(3, 15_000)  # each has waited for all of it
    (batch,) = seen.batches
    assert (batch.batch_size, batch.compute_infer) == (9, Duration(1, 5_000))
    assert seen.run_rows.counts[-1] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overloaded("full"), "REJECTED"),
        (TimeoutExpired("late"), "REJECTED"),
        (asyncio.CancelledError(), "CANCELED"),
        (InferenceRefused("not these"), "BACKEND"),
        (RunFailed("no memory"), "BACKEND"),
        (RunLost("killed"), "BACKEND"),
        (RequestQuarantined("twice"), "BACKEND"),
        (NotJsonRepresentable("NaN"), "OTHER"),
        (ValueError("a bug"), "OTHER"),
    ],
)
def test_a_failure_has_tritons_reason(error, reason):
    recorder = Recorder()
    fail(recorder, error)
    seen = recorder.statistics
    assert {name for name, count in seen.failures.items() if count} == {reason}
    assert (seen.fail.count, seen.success.count, seen.pending) == (1, 0, 0)


def test_a_reply_that_cannot_be_written_is_a_failure_of_a_run_that_was():
    recorder = Recorder()
    passage = recorder.begin()
    passage.computed(ALONE, rows=1, inferences=1)
    with pytest.raises(NotJsonRepresentable), passage:
        raise NotJsonRepresentable("NaN")
    seen = recorder.statistics
    assert (seen.fail.count, seen.success.count, seen.inference_count) == (1, 0, 0)
    assert seen.execution_count == 1


def test_a_request_that_ends_without_an_answer_is_a_failure():
    recorder = Recorder()
    with recorder.begin():
        pass
    assert recorder.statistics.failures["OTHER"] == 1


def test_however_many_row_counts_clients_choose_the_memory_for_them_is_bounded():
    recorder = Recorder()
    for rows in range(1, 20_000):
        answer(recorder, rows=rows, inferences=rows)
    sizes = [batch.batch_size for batch in recorder.statistics.batches]
    assert sizes[:256] == list(range(1, 257))
    assert sizes[256:] == [512, 1024, 2048, 4096, 8192, 16384, 32768]
    assert sum(batch.compute_infer.count for batch in recorder.statistics.batches) == 19_999


def test_times_fall_into_the_bucket_whose_bound_is_the_next_above():
    recorder = Recorder()
    answer(recorder, ExecutionTimes(queue=1_000_000, compute=1))  # 1 ms exactly
    answer(recorder, ExecutionTimes(queue=1_000_001, compute=1))
    answer(recorder, ExecutionTimes(queue=10**12, compute=1))  # beyond the last bound
    queue = recorder.statistics.queue_seconds
    counts = dict(zip(queue.bounds, queue.counts, strict=False))
    assert (counts[0.0005], counts[0.001], counts[0.0025], queue.counts[-1]) == (0, 1, 2, 3)
    assert queue.total == pytest.approx(1000.002000001)


def test_a_replacement_goes_on_with_the_counts_and_is_idle_by_itself():
    before, after = Recorder(), Recorder()
    answer(before)
    begun = before.begin()
    after.take_over(before)
    answer(after)
    assert after.statistics.success.count == 2
    assert after.statistics.pending == 1
    assert (before.pending, after.pending) == (1, 0)
    with begun:
        begun.computed(ALONE, rows=1, inferences=1)
    assert after.statistics.success.count == 3
    assert after.statistics.pending == 0


async def test_idle_is_when_the_last_of_several_requests_is_over():
    recorder = Recorder()
    await recorder.wait_until_idle()
    first, second = recorder.begin(), recorder.begin()
    waiting = asyncio.create_task(recorder.wait_until_idle())
    with first:
        first.computed(ALONE, rows=1, inferences=1)
    await asyncio.sleep(0)
    assert not waiting.done()
    with second:
        second.computed(ALONE, rows=1, inferences=1)
    await asyncio.wait_for(waiting, 5)


def test_a_request_may_have_begun_before_its_recorder_heard_of_it():
    recorder = Recorder()
    second_ns = 1_000_000_000
    with recorder.begin(time.perf_counter_ns() - second_ns) as passage:
        passage.decoded()
        passage.computed(ALONE, rows=1, inferences=1)
    seen = recorder.statistics
    assert seen.success.ns >= seen.compute_input.ns >= second_ns
