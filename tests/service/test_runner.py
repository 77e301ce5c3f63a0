import asyncio
import threading

import numpy as np
import pytest

from bundle import InputInvalid
from service.errors import InferenceRefused, Overloaded
from service.runner import InProcessRunner, RunPool


class Doubling:
    def run(self, feeds, outputs=None):
        return dict.fromkeys(outputs, feeds["x"] * 2)


class Waiting:
    """Runs until it is told to go on."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.runs = 0

    def run(self, feeds, outputs=None):
        self.runs += 1
        self.begun.release()
        assert self.go_on.wait(10)
        return dict(feeds)


class Refusing:
    def run(self, feeds, outputs=None):
        raise InputInvalid("index 9 is out of range.")


@pytest.fixture
def pool():
    pool = RunPool(threads=1, max_waiting=1)
    yield pool
    pool.close()


X = {"x": np.array([1.0, 2.0])}


async def settled(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not settle")


async def test_a_model_runs_off_the_event_loop(pool):
    model = Waiting()
    task = asyncio.create_task(InProcessRunner(model, pool=pool).run(X, ["x"]))
    await settled(lambda: model.runs == 1)
    assert not task.done()  # and the loop goes on
    model.go_on.set()
    assert (await task).outputs["x"].tolist() == [1, 2]


async def test_only_the_wanted_outputs_are_asked_for(pool):
    computed = await InProcessRunner(Doubling(), pool=pool).run(X, ["z"])
    assert computed.outputs.keys() == {"z"}


async def test_the_time_in_the_queue_is_not_the_models(pool):
    model = Waiting()
    runner = InProcessRunner(model, pool=pool)
    first = asyncio.create_task(runner.run(X, ["x"]))
    await settled(lambda: model.runs == 1)
    second = asyncio.create_task(runner.run(X, ["x"]))
    await settled(lambda: pool.pending == 2)
    model.go_on.set()
    before, after = (await first).times, (await second).times
    # the second waited while the first ran, and then had nothing to wait for
    assert after.queue > before.queue
    assert after.compute < before.compute


async def test_values_that_the_model_cannot_compute_are_the_requests_fault(pool):
    with pytest.raises(InferenceRefused, match="index 9"):
        await InProcessRunner(Refusing(), pool=pool).run(X, ["y"])


async def test_more_than_may_wait_are_refused_at_once_and_none_later(pool):
    model = Waiting()
    runner = InProcessRunner(model, pool=pool)
    accepted = [asyncio.create_task(runner.run(X, ["x"])) for _ in range(2)]
    await settled(lambda: pool.pending == 2)
    with pytest.raises(Overloaded, match="2 requests"):
        await runner.run(X, ["x"])
    model.go_on.set()
    await asyncio.gather(*accepted)
    await settled(lambda: pool.pending == 0)
    await runner.run(X, ["x"])


async def test_a_cancelled_request_that_waits_never_runs(pool):
    model = Waiting()
    runner = InProcessRunner(model, pool=pool)
    first = asyncio.create_task(runner.run(X, ["x"]))
    await settled(lambda: model.runs == 1)
    second = asyncio.create_task(runner.run(X, ["x"]))
    await settled(lambda: pool.pending == 2)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    model.go_on.set()
    await first
    await settled(lambda: pool.pending == 0)
    assert model.runs == 1


async def test_a_cancelled_request_that_runs_harms_no_other(pool):
    model = Waiting()
    runner = InProcessRunner(model, pool=pool)
    first = asyncio.create_task(runner.run(X, ["x"]))
    await settled(lambda: model.runs == 1)
    second = asyncio.create_task(runner.run(X, ["x"]))
    await settled(lambda: pool.pending == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    model.go_on.set()
    assert (await second).outputs["x"].tolist() == [1, 2]
    await settled(lambda: pool.pending == 0)
