"""Runs that the engine is given before they can begin."""

import asyncio

from service.batching import Turns
from tests.service.batching.fakes import FakeEngine, batcher, rows, turns_of_the_loop


async def test_full_runs_are_given_to_the_engine_before_they_can_begin():
    engine = FakeEngine(is_held=True, ahead=1)
    subject = batcher(engine, most=2)
    asked = [subject.submit(rows(n), ["y"]) for n in range(7)]
    await turns_of_the_loop()
    assert engine.sizes == [2, 2]
    engine.settle(0)
    await turns_of_the_loop()
    assert engine.sizes == [2, 2, 2]
    for index in (1, 2, 3):
        engine.settle(index)
        await turns_of_the_loop()
    assert engine.sizes == [2, 2, 2, 1]
    answered = [computed.outputs["y"].item() for computed in await asyncio.gather(*asked)]
    assert answered == [2 * n for n in range(7)]


async def test_one_that_others_could_still_share_is_not():
    engine = FakeEngine(is_held=True, ahead=1)
    subject = batcher(engine, most=4, preferred=(1, 3))
    asked = [subject.submit(rows(n), ["y"]) for n in range(5)]
    await turns_of_the_loop()
    assert engine.sizes == [3]
    asked.append(subject.submit(rows(5), ["y"]))
    await turns_of_the_loop()
    assert engine.sizes == [3, 3]
    for index in (0, 1):
        engine.settle(index)
    await asyncio.gather(*asked)


async def test_requests_that_share_no_run_are():
    engine = FakeEngine(is_held=True, ahead=1)
    subject = batcher(engine, most=1)
    asked = [subject.submit(rows(n), ["y"]) for n in range(3)]
    await turns_of_the_loop()
    assert engine.sizes == [1, 1]
    for index in (0, 1, 2):
        engine.settle(index)
        await turns_of_the_loop()
    await asyncio.gather(*asked)


async def test_it_takes_no_turn_from_other_models():
    turns = Turns(1)
    engines = [FakeEngine(is_held=True, ahead=1) for _ in range(2)]
    one, other = (batcher(engine, most=1, turns=turns) for engine in engines)
    asked = [one.submit(rows(n), ["y"]) for n in range(4)]
    await turns_of_the_loop()
    asked.append(other.submit(rows(4), ["y"]))
    await turns_of_the_loop()
    assert [engine.sizes for engine in engines] == [[1, 1], []]
    engines[0].settle(0)
    await turns_of_the_loop()
    assert [engine.sizes for engine in engines] == [[1, 1], []]  # the second has begun
    engines[0].settle(1)
    await turns_of_the_loop()
    assert [engine.sizes for engine in engines] == [[1, 1], [1]]
    engines[1].settle(0)
    await turns_of_the_loop()
    for index in (2, 3):
        engines[0].settle(index)
        await turns_of_the_loop()
    await asyncio.gather(*asked)
    assert turns.free == 1


async def test_what_nobody_waits_for_gives_no_turn_back_that_it_did_not_take():
    turns = Turns(1)
    engine = FakeEngine(is_held=True, ahead=2)
    subject = batcher(engine, most=1, turns=turns)
    asked = [subject.submit(rows(n), ["y"]) for n in range(3)]
    await turns_of_the_loop()
    for answer in asked:
        answer.cancel()
    await turns_of_the_loop()
    assert turns.free == 1
