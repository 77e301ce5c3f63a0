import asyncio
import threading

import numpy as np
import pytest

from bundle import InputInvalid, RunInterrupted, open_model
from service.engine import RunThreads, ThreadEngine
from service.errors import EngineFailed
from tests.service import tiny
from tests.service.engine.models import counting


@pytest.fixture
def threads():
    threads = RunThreads(1)
    yield threads
    threads.close()


class Waiting:
    """Runs until it is told to go on."""

    def __init__(self):
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def run(self, feeds, outputs=None, *, interrupt=None):
        self.begun.set()
        assert self.go_on.wait(10)
        return dict(feeds)


class Refusing:
    def run(self, feeds, outputs=None, *, interrupt=None):
        raise InputInvalid("index 9 is out of range.")


X = {"x": (np.array([1.0, 2.0]),)}


async def test_a_model_runs_off_the_event_loop(threads):
    model = Waiting()
    run = ThreadEngine(model, threads=threads).start(X, ["x"])
    assert await asyncio.to_thread(model.begun.wait, 10)
    assert not run.done()  # and the loop goes on
    assert threads.pending == 1
    model.go_on.set()
    assert (await run).outputs["x"].tolist() == [1, 2]
    await asyncio.to_thread(tiny.wait_for, lambda: threads.pending == 0)  # its thread is told after


async def test_pieces_are_put_together(threads):
    model = Waiting()
    model.go_on.set()
    pieces = {"x": [np.zeros((1, 2)), np.ones((2, 2))]}
    run = await ThreadEngine(model, threads=threads).start(pieces, ["x"])
    assert run.outputs["x"].tolist() == [[0, 0], [1, 1], [1, 1]]


async def test_the_wait_for_a_thread_is_not_part_of_the_run(threads):
    model = Waiting()
    engine = ThreadEngine(model, threads=threads)
    first, second = engine.start(X, ["x"]), engine.start(X, ["x"])
    model.go_on.set()
    one, two = await asyncio.gather(first, second)
    assert one.begun_ns <= one.ended_ns <= two.begun_ns <= two.ended_ns


async def test_what_the_model_raises_is_the_answer(threads):
    with pytest.raises(InputInvalid, match="index 9"):
        await ThreadEngine(Refusing(), threads=threads).start(X, ["x"])


async def test_a_run_that_is_cancelled_ends(threads):
    engine = ThreadEngine(open_model(counting()), threads=threads)
    endless = {"n": (np.array(2**62),), "x": (np.zeros(1, np.float32),)}
    run = engine.start(endless, ["y"])
    run.cancel()
    short = engine.start({**endless, "n": (np.array(3),)}, ["y"])  # on the same thread
    assert (await asyncio.wait_for(short, 30)).outputs["y"] == 3


async def test_what_runs_ends_with_the_threads(threads):
    engine = ThreadEngine(open_model(counting()), threads=threads)
    run = engine.start({"n": (np.array(2**62),), "x": (np.zeros(1, np.float32),)}, ["y"])
    await asyncio.sleep(0)
    threads.close()
    with pytest.raises(RunInterrupted):
        await asyncio.wait_for(run, 30)


async def test_no_run_begins_after_that():
    threads = RunThreads(1)
    threads.close()
    with pytest.raises(EngineFailed, match="being stopped"):
        await ThreadEngine(Refusing(), threads=threads).start(X, ["x"])
    assert threads.pending == 0
