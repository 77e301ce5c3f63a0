import asyncio

import numpy as np
import pytest
from structlog.testing import capture_logs

from bundle import RunFailed
from service.engine import Watch
from service.engine.padding import PaddedEngine
from tests.service.batching.fakes import FakeEngine, rows, turns_of_the_loop


def padded(engine, *, to=4):
    return PaddedEngine(engine, size=lambda count: max(to, count))


def pieces(*values):
    return {"x": (rows(*values)["x"],)}


async def test_a_run_is_filled_up_with_its_last_row_and_cut_again():
    engine = FakeEngine()
    run = await padded(engine).start({"x": (rows(1)["x"], rows(2, 3)["x"])}, ["y"])
    assert engine.runs[0]["x"].ravel().tolist() == [1, 2, 3, 3]
    assert run.outputs["y"].ravel().tolist() == [2, 4, 6]
    assert run.ended_ns == 1000


async def test_a_run_that_has_its_size_is_left_as_it_is():
    engine = FakeEngine()
    subject = padded(engine)
    await asyncio.gather(subject.start(pieces(*range(4)), ["y"]), subject.start(pieces(), ["y"]))
    assert engine.sizes == [4, 0]


@pytest.mark.parametrize(
    "feeds",
    [
        {"x": np.array([[b"a"]], object)},
        {"x": np.zeros((1, 1)), "z": np.zeros((2, 1))},
    ],
)
async def test_what_has_no_rows_that_can_be_added_is_left_as_it_is(feeds):
    engine = FakeEngine(is_held=True)
    padded(engine).start({name: (array,) for name, array in feeds.items()}, ["y"])
    assert engine.sizes == [1]


async def test_an_output_that_has_not_a_row_for_each_ends_it_for_good():
    engine = FakeEngine()
    engine.give = lambda outputs: {"y": outputs["y"].sum(axis=0, keepdims=True)}
    subject = padded(engine)
    with capture_logs() as logs:
        run = await subject.start(pieces(1, 2), ["y"])
        again = await subject.start(pieces(1, 2), ["y"])
    assert run.outputs["y"].tolist() == again.outputs["y"].tolist() == [[6.0]]
    assert engine.sizes == [4, 2, 2]
    assert [line["event"] for line in logs] == ["no more runs are filled up"]


async def test_what_the_engine_raises_is_the_answer():
    engine = FakeEngine()
    engine.failures[1.0] = lambda: RunFailed("no")
    with pytest.raises(RunFailed, match="no"):
        await padded(engine).start(pieces(1), ["y"])


async def test_a_run_that_is_cancelled_is_ended_in_the_engine():
    engine = FakeEngine(is_held=True)
    run = padded(engine).start(pieces(1), ["y"])
    run.cancel()
    await turns_of_the_loop()
    assert engine.futures[0].cancelled()


async def test_whatever_else_is_asked_of_it_is_the_engines():
    engine = FakeEngine(at_once=3)
    engine.deaths, engine.pid = 2, 7
    subject = padded(engine)
    watch = Watch()
    subject.watch = watch
    assert engine.watch is subject.watch is watch
    assert (subject.at_once, subject.deaths, subject.pid, subject.is_up) == (3, 2, 7, True)
    await subject.close()
    assert engine.is_closed
