import asyncio
import time

import numpy as np
import pytest
from structlog.testing import capture_logs

from bundle import InputInvalid, RunFailed
from service.batching import Admission, Batcher, Turns
from service.engine import Run, Watch
from service.errors import (
    EngineFailed,
    InferenceRefused,
    Overloaded,
    RequestQuarantined,
    RunLost,
    TimeoutExpired,
)
from tests.service.batching.fakes import FakeEngine, batcher, rows, turns_of_the_loop


async def answers(subject, *requests):
    """The answers to requests that come in one turn of the loop."""
    computed = await asyncio.gather(
        *(subject.submit(rows(*request), ["y"]) for request in requests)
    )
    return [c.outputs["y"].ravel().tolist() for c in computed]


async def test_what_comes_together_runs_together_and_each_gets_its_own_rows():
    engine = FakeEngine()
    assert await answers(batcher(engine), (1,), (2, 3), (4,)) == [[2], [4, 6], [8]]
    assert engine.sizes == [4]


async def test_a_free_runner_waits_for_nobody():
    engine = FakeEngine(is_held=True)
    subject = batcher(engine)
    first = subject.submit(rows(1), ["y"])
    await turns_of_the_loop()
    assert engine.sizes == [1]
    later = [subject.submit(rows(n), ["y"]) for n in (2, 3)]
    await turns_of_the_loop()
    assert engine.sizes == [1]
    engine.settle(0)
    await turns_of_the_loop()
    assert engine.sizes == [1, 2]
    engine.settle(1)
    assert [float(c.outputs["y"][0, 0]) for c in await asyncio.gather(first, *later)] == [2, 4, 6]


async def test_as_many_runs_at_once_as_the_engine_can():
    engine = FakeEngine(is_held=True, at_once=2)
    subject = batcher(engine, most=1)
    tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2, 3)]
    await turns_of_the_loop()
    assert engine.sizes == [1, 1]
    for index in range(3):
        engine.settle(index)
        await turns_of_the_loop()
    await asyncio.gather(*tasks)
    assert engine.sizes == [1, 1, 1]


async def test_without_a_certificate_no_run_is_shared():
    engine = FakeEngine()
    assert await answers(batcher(engine, most=1), (1,), (2,), (3, 4)) == [[2], [4], [6, 8]]
    assert engine.sizes == [1, 1, 2]


async def test_a_certificate_that_comes_later_counts_from_then_on():
    engine = FakeEngine()
    allowed = [1]
    subject = Batcher(engine, admission=Admission(most=9), turns=Turns(1), rows=lambda: allowed[0])
    await answers(subject, (1,), (2,))
    allowed[0] = 4
    await answers(subject, (1,), (2,))
    assert engine.sizes == [1, 1, 2]


async def test_a_run_has_at_most_the_rows_that_are_allowed():
    engine = FakeEngine()
    await answers(batcher(engine, most=3), (1, 2), (3, 4), (5,))
    assert engine.sizes == [2, 3]


async def test_a_request_of_more_rows_is_cut_and_put_together_again():
    engine = FakeEngine()
    (answer,) = await answers(batcher(engine, most=4), tuple(range(10)))
    assert answer == [2 * n for n in range(10)]
    assert engine.sizes == [4, 4, 2]


async def test_a_request_of_very_many_rows_is_a_run_of_its_own():
    engine = FakeEngine()
    subject = batcher(engine, most=2)
    await asyncio.gather(*(subject.submit(rows(*range(n)), ["y"]) for n in (128, 129)))
    assert engine.sizes == [2] * 64 + [129]


async def test_rows_with_nothing_in_them_are_not_cut():
    engine = FakeEngine()
    nothing = {"x": np.empty((100, 0), np.float32)}
    computed = await batcher(engine, most=4).submit(nothing, ["y"])
    assert computed.outputs["y"].shape == (100, 0)
    assert engine.sizes == [100]


async def test_the_rest_of_a_cut_request_runs_with_others():
    engine = FakeEngine()
    assert await answers(batcher(engine, most=4), (1, 2, 3, 4, 5), (6, 7)) == [
        [2, 4, 6, 8, 10],
        [12, 14],
    ]
    assert engine.sizes == [4, 3]


async def test_only_equal_shapes_and_outputs_share_a_run():
    engine = FakeEngine()
    engine.give = lambda outputs: {**outputs, "z": outputs["y"]}
    subject = batcher(engine)
    wide = {"x": np.ones((1, 2), np.float32)}
    await asyncio.gather(
        subject.submit(rows(1), ["y"]),
        subject.submit(wide, ["y"]),
        subject.submit(rows(2), ["y"]),
        subject.submit(rows(3), ["y", "z"]),
    )
    assert [feeds["x"].shape for feeds in engine.runs] == [(2, 1), (1, 2), (1, 1)]


async def test_inputs_without_common_rows_run_alone():
    engine = FakeEngine()
    engine.give = lambda outputs: {"y": np.float32(7)}
    subject = batcher(engine)
    odd = {"x": np.ones((1, 1), np.float32), "w": np.ones((3, 1), np.float32)}
    computed = await asyncio.gather(subject.submit(odd, ["y"]), subject.submit(odd, ["y"]))
    assert [c.outputs["y"] for c in computed] == [7, 7]


async def test_no_rows_are_a_request_too():
    engine = FakeEngine()
    empty = {"x": np.empty((0, 1), np.float32)}
    subject = batcher(engine)
    none, one = await asyncio.gather(subject.submit(empty, ["y"]), subject.submit(rows(1), ["y"]))
    assert none.outputs["y"].shape == (0, 1)
    assert one.outputs["y"].tolist() == [[2]]
    assert sorted(engine.sizes) == [0, 1]


async def test_the_urgent_go_first_and_those_that_say_nothing_last():
    engine = FakeEngine(is_held=True)
    subject = batcher(engine, most=1)
    tasks = [subject.submit(rows(0), ["y"])]
    await turns_of_the_loop()
    for value, priority in ((1, 0), (2, 7), (3, 1), (4, 7)):
        tasks.append(subject.submit(rows(value), ["y"], priority=priority))
    for index in range(5):
        await turns_of_the_loop()
        engine.settle(index)
    await asyncio.gather(*tasks)
    assert [float(feeds["x"][0, 0]) for feeds in engine.runs] == [0, 3, 2, 4, 1]


async def test_each_is_told_its_own_times_and_place():
    engine = FakeEngine()
    subject = batcher(engine)
    begun = time.perf_counter_ns()
    engine.settle = lambda index: engine.futures[index].set_result(
        Run({"y": engine.runs[index]["x"]}, begun + 10**9, begun + 3 * 10**9)
    )
    one, two = await asyncio.gather(
        subject.submit(rows(1, 2), ["y"]), subject.submit(rows(3), ["y"])
    )
    assert (one.times.batch_size, one.times.first_row) == (3, 0)
    assert (two.times.batch_size, two.times.first_row) == (3, 2)
    assert one.times.compute == 2 * 10**9
    assert 0 < one.times.queue < 10**9


class TestShortRuns:
    """A run that is over before the next one has been handed over."""

    async def known(self, took_ns):
        """A batcher that has seen such runs, with another one in progress."""
        engine = FakeEngine(at_once=2)
        engine.took_ns = took_ns
        subject = batcher(engine)
        for _ in range(40):
            await answers(subject, (1,))
        engine.is_held = True
        engine.runs.clear(), engine.futures.clear()
        first = subject.submit(rows(1), ["y"])
        await turns_of_the_loop()
        return engine, subject, first

    async def test_who_comes_meanwhile_shares_the_next_one(self):
        engine, subject, first = await self.known(50_000)
        others = [subject.submit(rows(2), ["y"]), subject.submit(rows(3), ["y"])]
        await turns_of_the_loop()
        assert engine.sizes == [1]
        engine.settle()
        await first
        await turns_of_the_loop()
        assert engine.sizes == [1, 2]
        engine.settle()
        await asyncio.gather(*others)

    async def test_a_full_run_does_not_wait(self):
        engine, subject, _ = await self.known(50_000)
        for value in range(8):
            subject.submit(rows(value), ["y"])
        await turns_of_the_loop()
        assert engine.sizes == [1, 8]

    async def test_nor_does_anybody_wait_long_for_one_that_does_not_end(self):
        engine, subject, first = await self.known(50_000)
        other = subject.submit(rows(2), ["y"])
        await asyncio.sleep(0.1)
        assert engine.sizes == [1, 1]
        engine.settle()
        await other
        assert not first.done()

    async def test_longer_ones_go_side_by_side(self):
        engine, subject, _ = await self.known(5_000_000)
        subject.submit(rows(2), ["y"])
        await turns_of_the_loop()
        assert engine.sizes == [1, 1]


class TestAPlanThatWaits:
    async def test_it_runs_when_the_delay_is_over(self):
        engine = FakeEngine()
        subject = batcher(engine, delay_s=0.03)
        begun = time.perf_counter()
        await answers(subject, (1,))
        assert time.perf_counter() - begun >= 0.03

    async def test_it_waits_no_longer_than_for_a_full_run(self):
        engine = FakeEngine()
        await asyncio.wait_for(answers(batcher(engine, most=2, delay_s=60), (1,), (2,)), 5)
        assert engine.sizes == [2]

    async def test_the_last_row_of_a_full_run_starts_it_whenever_it_comes(self):
        engine = FakeEngine()
        subject = batcher(engine, most=2, delay_s=60)
        first = asyncio.create_task(answers(subject, (1,)))
        await turns_of_the_loop()
        assert engine.sizes == []
        assert await asyncio.wait_for(answers(subject, (2,)), 5) == [[4]]
        assert await first == [[2]]
        assert engine.sizes == [2]

    async def test_it_stops_at_a_size_that_is_preferred(self):
        engine = FakeEngine()
        subject = batcher(engine, delay_s=0.01, preferred=(2, 4))
        await answers(subject, (1,), (2,), (3,), (4,), (5,))
        assert engine.sizes == [4, 1]


class TestAFailure:
    async def test_only_the_guilty_fails(self):
        engine = FakeEngine()
        engine.failures[5.0] = lambda: InputInvalid("index 9 is out of range.")
        subject = batcher(engine)
        results = await asyncio.gather(
            *(subject.submit(rows(n), ["y"]) for n in range(1, 9)), return_exceptions=True
        )
        assert [type(r) for r in results].count(InferenceRefused) == 1
        assert isinstance(results[4], InferenceRefused)
        assert [float(r.outputs["y"][0, 0]) for r in results if r is not results[4]] == [
            2,
            4,
            6,
            8,
            12,
            14,
            16,
        ]
        assert engine.sizes == [8, 4, 4, 2, 2, 1, 1]

    async def test_a_model_that_fails_alone_says_why(self):
        engine = FakeEngine()
        engine.failures[1.0] = lambda: RunFailed("no memory.")
        with pytest.raises(RunFailed, match="no memory"):
            await answers(batcher(engine), (1,))

    async def test_one_part_of_a_cut_request_fails_the_whole(self):
        engine = FakeEngine()
        engine.failures[5.0] = lambda: InputInvalid("no.")
        with pytest.raises(InferenceRefused):
            await answers(batcher(engine, most=2), (1, 2, 3, 4, 5, 6))

    async def test_rows_that_do_not_add_up_are_nobodys_answer(self):
        engine = FakeEngine()
        right = engine.give
        engine.give = lambda outputs: {"y": outputs["y"].sum(axis=0, keepdims=True)}
        subject = batcher(engine)
        with capture_logs() as logs:
            assert await answers(subject, (1,), (2,)) == [[2], [4]]
        assert engine.sizes == [2, 1, 1]
        assert [line["event"] for line in logs] == ["no more batches"]
        engine.give = right
        await answers(subject, (1,), (2,))
        assert engine.sizes == [2, 1, 1, 1, 1]

    async def test_a_part_that_comes_after_its_request_was_begun_anew_is_dropped(self):
        engine = FakeEngine(is_held=True, at_once=2)
        right = engine.give
        subject = batcher(engine, most=2)
        answer = subject.submit(rows(1, 2, 3, 4), ["y"])
        await turns_of_the_loop()
        assert engine.sizes == [2, 2]
        engine.give = lambda outputs: {"y": outputs["y"].sum(axis=0, keepdims=True)}
        engine.settle(0)
        await turns_of_the_loop()
        engine.give = right
        for index in (1, 2):
            engine.settle(index)
            await turns_of_the_loop()
        assert engine.sizes == [2, 2, 4]
        assert (await answer).outputs["y"].ravel().tolist() == [2, 4, 6, 8]


class TestALostRun:
    async def test_the_innocent_are_tried_once_more_and_never_learn_of_it(self):
        engine = FakeEngine(is_held=True)
        task = asyncio.create_task(answers(batcher(engine), (1,), (2,), (3,)))
        await turns_of_the_loop()
        engine.futures[0].set_exception(RunLost("the model's process ended during the run"))
        for index in (1, 2, 3):
            await turns_of_the_loop()
            engine.settle(index)
        assert await task == [[2], [4], [6]]
        assert engine.sizes == [3, 1, 1, 1]

    async def test_who_loses_a_run_alone_is_quarantined(self):
        engine = FakeEngine()
        engine.failures[2.0] = lambda: RunLost("the model's process ended during the run")
        subject = batcher(engine)
        results = await asyncio.gather(
            *(subject.submit(rows(n), ["y"]) for n in (1, 2, 3)), return_exceptions=True
        )
        assert isinstance(results[1], RequestQuarantined)
        assert [results[0].outputs["y"][0, 0], results[2].outputs["y"][0, 0]] == [2, 6]
        runs = len(engine.runs)
        with pytest.raises(RequestQuarantined, match="not tried again for"):
            await subject.submit(rows(2), ["y"])
        assert len(engine.runs) == runs
        assert await answers(subject, (1,)) == [[2]]

    async def test_suspects_run_with_nothing_beside_them(self):
        engine = FakeEngine(is_held=True, at_once=2)
        subject = batcher(engine, most=1)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2, 3)]
        await turns_of_the_loop()
        for future in engine.futures[:2]:
            future.set_exception(RunLost("ended"))
        await turns_of_the_loop()
        for index, value in ((2, 1), (3, 2), (4, 3)):
            assert len(engine.runs) == index + 1
            assert float(engine.runs[index]["x"][0, 0]) == value
            engine.settle(index)
            await turns_of_the_loop()
        assert [float(c.outputs["y"][0, 0]) for c in await asyncio.gather(*tasks)] == [2, 4, 6]


class TestWhoGoes:
    async def test_a_caller_that_left_takes_its_request_with_it(self):
        engine = FakeEngine(is_held=True)
        subject = batcher(engine, most=1)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2, 3)]
        await turns_of_the_loop()
        tasks[1].cancel()
        await turns_of_the_loop()
        engine.settle(0)
        await turns_of_the_loop()
        engine.settle(1)
        await asyncio.gather(tasks[0], tasks[2])
        assert [float(feeds["x"][0, 0]) for feeds in engine.runs] == [1, 3]

    async def test_others_go_on_where_what_is_to_be_run_again_is_not_waited_for(self):
        engine = FakeEngine(is_held=True)
        subject = batcher(engine, most=2)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2, 3)]
        await turns_of_the_loop()
        for task in tasks[:2]:
            task.cancel()
        engine.futures[0].set_exception(RunFailed("no memory."))
        await turns_of_the_loop()
        engine.settle(1)
        assert (await asyncio.wait_for(tasks[2], 5)).outputs["y"] == 6

    async def test_a_run_that_nobody_waits_for_is_ended(self):
        engine = FakeEngine(is_held=True)
        subject = batcher(engine)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2)]
        await turns_of_the_loop()
        tasks[0].cancel()
        await turns_of_the_loop()
        assert not engine.futures[0].cancelled()
        tasks[1].cancel()
        await turns_of_the_loop()
        assert engine.futures[0].cancelled()
        third = subject.submit(rows(3), ["y"])
        await turns_of_the_loop()
        engine.settle(1)
        assert (await third).outputs["y"] == 6

    async def test_a_request_leaves_the_queue_when_its_time_is_over(self):
        engine = FakeEngine(is_held=True)
        subject = batcher(engine, most=1)
        first = subject.submit(rows(1), ["y"])
        await turns_of_the_loop()
        with pytest.raises(TimeoutExpired, match="10000 µs"):
            await subject.submit(rows(2), ["y"], timeout_us=10_000)
        engine.settle(0)
        await first
        await turns_of_the_loop()
        assert engine.sizes == [1]

    async def test_more_than_may_come_in_are_told_when_to_come_again(self):
        engine = FakeEngine(is_held=True)
        subject = batcher(engine, inside=1)
        first = subject.submit(rows(1), ["y"])
        await turns_of_the_loop()
        with pytest.raises(Overloaded, match="try again in 1 s") as refusal:
            await subject.submit(rows(2), ["y"])
        assert refusal.value.retry_after_s == 1
        engine.settle(0)
        await first
        second = subject.submit(rows(2), ["y"])
        await turns_of_the_loop()
        engine.settle(1)
        await second

    @pytest.mark.parametrize(
        ("one", "size"),
        [
            (rows(1, 2), 8),
            ({"x": np.array([[b"8 bytes!"]], object)}, 16),
            ({"x": np.array([[b""], [b""]], object)}, 16),
        ],
        ids=["numbers", "text", "empty text"],
    )
    async def test_bytes_that_wait_are_counted_and_given_back_however_a_request_ends(
        self, one, size
    ):
        engine = FakeEngine(is_held=True)
        door = Admission(most=9, most_bytes=2 * size + 4)
        subject = Batcher(engine, admission=door, turns=Turns(1))
        tasks = [subject.submit(one, ["y"]) for _ in range(2)]
        assert door.bytes_inside == 2 * size
        with pytest.raises(Overloaded):
            subject.submit(one, ["y"])
        tasks[1].cancel()
        await turns_of_the_loop()
        assert door.bytes_inside == size
        engine.futures[0].set_exception(RunFailed("no memory."))
        with pytest.raises(RunFailed):
            await tasks[0]
        assert (door.inside, door.bytes_inside) == (0, 0)


class TestTurns:
    async def test_a_run_takes_as_many_turns_as_it_has_threads(self):
        turns = Turns(3)
        engine = FakeEngine(is_held=True, at_once=2)
        admission = Admission(most=9)
        subject = Batcher(engine, admission=admission, turns=turns, threads=2)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2)]
        await turns_of_the_loop()
        assert (engine.sizes, turns.free) == ([1], 1)
        engine.settle(0)
        await turns_of_the_loop()
        engine.settle(1)
        await asyncio.gather(*tasks)
        assert turns.free == 3

    async def test_models_share_the_turns_one_after_the_other(self):
        turns = Turns(1)
        one, other = FakeEngine(is_held=True), FakeEngine(is_held=True)
        first, second = batcher(one, most=1, turns=turns), batcher(other, most=1, turns=turns)
        tasks = [first.submit(rows(n), ["y"]) for n in (1, 2)]
        tasks += [second.submit(rows(n), ["y"]) for n in (3, 4)]
        order = []
        for _ in range(4):
            await turns_of_the_loop()
            going = next(e for e in (one, other) if any(not f.done() for f in e.futures))
            order.append("one" if going is one else "other")
            going.settle()
        await asyncio.gather(*tasks)
        assert order == ["one", "other", "one", "other"]
        assert turns.free == 1

    async def test_a_turn_comes_back_however_the_run_ends(self):
        turns = Turns(2)
        engine = FakeEngine(is_held=True, at_once=2)
        subject = batcher(engine, most=1, turns=turns)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2)]
        await turns_of_the_loop()
        assert turns.free == 0
        tasks[0].cancel()
        engine.futures[1].set_exception(RunFailed("no memory."))
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns_of_the_loop()
        assert turns.free == 2


class TestAProcessThatIsGone:
    async def test_requests_wait_for_it_and_take_no_turn(self):
        turns = Turns(1)
        engine = FakeEngine()
        subject = batcher(engine, turns=turns)
        engine.is_up = False
        task = subject.submit(rows(1), ["y"])
        await turns_of_the_loop()
        assert engine.runs == []
        assert turns.free == 1
        engine.is_up = True
        engine.watch.up()
        assert (await task).outputs["y"] == 2

    async def test_one_that_does_not_come_back_fails_them_with_the_reason(self):
        engine = FakeEngine()
        subject = batcher(engine)
        told = []
        subject.watch = Watch(down=told.append, up=lambda: told.append("up"))
        engine.is_up = False
        task = subject.submit(rows(1), ["y"])
        await turns_of_the_loop()
        engine.watch.down("its file is gone")
        with pytest.raises(EngineFailed, match="its file is gone"):
            await task
        with pytest.raises(EngineFailed, match="its file is gone"):
            await subject.submit(rows(2), ["y"])
        engine.is_up = True
        engine.watch.up()
        assert await answers(subject, (3,)) == [[6]]
        assert told == ["its file is gone", "up"]

    async def test_who_comes_after_the_end_is_told_and_so_is_who_waits(self):
        engine = FakeEngine(is_held=True)
        subject = batcher(engine, most=1)
        tasks = [subject.submit(rows(n), ["y"]) for n in (1, 2)]
        await turns_of_the_loop()
        await subject.close()
        assert engine.is_closed
        with pytest.raises(EngineFailed, match="taken out of service"):
            await asyncio.wait_for(tasks[1], 5)
        with pytest.raises(EngineFailed, match="taken out of service"):
            subject.submit(rows(3), ["y"])
        engine.settle(0)
        await tasks[0]
