import asyncio
import os
import re
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from structlog.testing import capture_logs

from bundle import Datatype, InputInvalid, ModelInvalid, ProviderPolicy
from service.engine import Watch, Zygote
from service.engine.link import Link
from service.engine.messages import Open
from service.engine.processes import ProcessEngine
from service.errors import EngineFailed, RunLost
from tests.service import tiny
from tests.service.engine import models

X = {"x": (np.zeros((2, 3), np.float32),)}
ENDLESS = {"n": (np.array(2**62),), "x": (np.zeros(1, np.float32),)}
SHORT = {"n": (np.array(3),), "x": (np.zeros(1, np.float32),)}


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote.launch()
    yield zygote
    zygote.close()


@pytest.fixture
def link_to(zygote, tmp_path):
    """Makes links to a worker with a model; ends what is left of them."""
    links = []

    def link(model, *, lanes=1, memory_bytes=0):
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        question = Open(path, ProviderPolicy.CPU, threads=1, memory_bytes=memory_bytes, lanes=lanes)
        links.append(Link(zygote, question, timeout_s=60))
        return links[-1]

    return link


class Told:
    def __init__(self):
        self.reasons = []
        self.ups = 0
        self.is_up = asyncio.Event()

    def up(self):
        self.ups += 1
        self.is_up.set()

    @property
    def watch(self):
        return Watch(down=self.reasons.append, up=self.up)


@pytest.fixture
async def engine_of(link_to):
    engines = []

    def engine(model, *, lanes=1, run_timeout_s=60.0, watch=None, relink=None):
        link = link_to(model, lanes=lanes)
        engines.append(
            ProcessEngine(
                link,
                relink=relink or (lambda: link_to(model, lanes=lanes)),
                run_timeout_s=run_timeout_s,
            )
        )
        engines[-1].watch = watch or Watch()
        return engines[-1], link

    yield engine
    for made in engines:
        await made.close()


async def test_a_model_runs_in_another_process(engine_of):
    engine, link = engine_of(models.adding())
    assert link.pid != os.getpid()
    run = await engine.start(X, ["y"])
    assert run.outputs["y"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert run.ended_ns - run.begun_ns > 0


async def test_it_says_of_the_model_what_an_open_model_says(engine_of):
    _, link = engine_of(models.adding())
    assert [str(spec) for spec in link.model.inputs] == ["x: FP32 (rows, 3)"]
    assert link.model.provider == "CPUExecutionProvider"
    assert link.model.placement.counts() == {"CPUExecutionProvider": 1}


async def test_pieces_are_put_together(engine_of):
    engine, _ = engine_of(models.adding())
    pieces = [np.full((n, 3), n, np.float32) for n in (1, 2)]
    run = await engine.start({"x": pieces}, ["y"])
    assert run.outputs["y"][:, 0].tolist() == [2, 3, 3]


async def test_one_answer_does_not_overwrite_another(engine_of):
    engine, _ = engine_of(models.adding())
    first = await engine.start(X, ["y"])
    second = await engine.start({"x": (np.full((2, 3), 5, np.float32),)}, ["y"])
    assert first.outputs["y"].max() == 1
    assert second.outputs["y"].min() == 6


async def test_as_many_runs_at_once_as_there_are_lanes_and_the_rest_wait(engine_of):
    engine, _ = engine_of(models.counting(), lanes=2)
    endless = engine.start(ENDLESS, ["y"])
    short = [engine.start(SHORT, ["y"]) for _ in range(5)]
    for run in await asyncio.wait_for(asyncio.gather(*short), 30):
        assert run.outputs["y"] == 3
    assert not endless.done()
    endless.cancel()


async def test_strings_pass(engine_of):
    engine, _ = engine_of(tiny.identity(Datatype.BYTES, ("rows",)))
    words = np.array([b"one", b"\xff", b""], dtype=object)
    assert (await engine.start({"x": (words,)}, ["y"])).outputs["y"].tolist() == words.tolist()


async def test_what_a_large_request_has_taken_goes_back_when_the_process_is_idle(engine_of):
    engine, link = engine_of(models.greedy(1024), lanes=2)
    status = Path(f"/proc/{link.pid}/status")

    def mib(name):
        return int(re.search(rf"^{name}:\s*(\d+) kB$", status.read_text(), re.MULTILINE)[1]) / 1024

    large = {"x": (np.zeros((5_000, 3), np.float32),)}  # 60 MB for each tensor on the way
    await engine.start({"x": (np.zeros((1, 3), np.float32),)}, ["y"])
    before = mib("VmRSS")
    await engine.start(large, ["y"])
    assert mib("VmHWM") > before + 50
    await asyncio.to_thread(tiny.wait_for, lambda: mib("VmRSS") < before + 10, seconds=60)
    run = await engine.start(large, ["y"])
    assert run.outputs["y"].tolist() == [3.0] * 5_000
    assert engine.deaths == 0


async def test_large_and_small_answers_may_follow_each_other(engine_of):
    engine, _ = engine_of(models.repeating(1_000))
    for rows in (10, 10_000, 10, 100):
        run = await engine.start({"x": (np.ones((rows, 1), np.float32),)}, ["y"])
        assert run.outputs["y"].sum() == rows * 1_000
    assert engine.deaths == 0


async def test_what_the_model_refuses_is_told(engine_of):
    engine, _ = engine_of(models.adding())
    with pytest.raises(InputInvalid):
        await engine.start({"x": (np.zeros((2, 4), np.float32),)}, ["y"])
    assert (await engine.start(X, ["y"])).outputs["y"].max() == 1


async def test_a_run_that_is_cancelled_ends_and_its_process_does_not(engine_of):
    engine, link = engine_of(models.counting())
    run = engine.start(ENDLESS, ["y"])
    await asyncio.sleep(0)
    run.cancel()
    answer = await asyncio.wait_for(engine.start(SHORT, ["y"]), 30)
    assert answer.outputs["y"] == 3
    os.kill(link.pid, 0)  # it is still there


async def test_a_run_that_takes_too_long_is_lost(engine_of):
    engine, _ = engine_of(models.counting(), run_timeout_s=0.2)
    with pytest.raises(RunLost, match=r"longer than 0\.2 s"):
        await engine.start(ENDLESS, ["y"])
    assert (await asyncio.wait_for(engine.start(SHORT, ["y"]), 30)).outputs["y"] == 3


async def test_a_process_that_does_not_end_its_run_is_ended(engine_of):
    told = Told()
    engine, link = engine_of(models.counting(), watch=told.watch)
    with capture_logs() as logs:
        run = engine.start(ENDLESS, ["y"])
        await asyncio.sleep(0)
        os.kill(link.pid, signal.SIGSTOP)  # as one that hangs in a kernel
        run.cancel()
        answer = await asyncio.wait_for(engine.start(SHORT, ["y"]), 30)
    assert answer.outputs["y"] == 3
    assert told.ups == 1
    assert [line["event"] for line in logs] == ["model process ended", "model process is back"]


class TestARunThatWaitsInTheProcess:
    async def test_it_begins_as_soon_as_one_has_ended(self, engine_of):
        engine, _ = engine_of(models.counting(), lanes=2)
        assert engine.ahead == 2
        endless = [engine.start(ENDLESS, ["y"]) for _ in range(2)]
        short = engine.start(SHORT, ["y"])
        await asyncio.sleep(0.05)
        assert not short.done()
        endless[1].cancel()
        assert (await asyncio.wait_for(short, 30)).outputs["y"] == 3
        endless[0].cancel()

    async def test_it_is_told_to_end_and_the_one_that_runs_goes_on(self, engine_of):
        engine, link = engine_of(models.counting())
        running, waiting = (engine.start(ENDLESS, ["y"]) for _ in range(2))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(1.2)  # longer than a run that is told to end may take
        assert not running.done()
        running.cancel()
        assert (await asyncio.wait_for(engine.start(SHORT, ["y"]), 30)).outputs["y"] == 3
        os.kill(link.pid, 0)  # it is still there

    async def test_its_time_begins_when_it_does(self, engine_of):
        engine, _ = engine_of(models.counting(), run_timeout_s=0.4)
        first = engine.start(ENDLESS, ["y"])
        await asyncio.sleep(0.2)
        second = engine.start(ENDLESS, ["y"])
        with pytest.raises(RunLost):
            await first
        lost = asyncio.get_running_loop().time()
        with pytest.raises(RunLost):
            await second
        assert asyncio.get_running_loop().time() - lost > 0.3
        assert engine.deaths == 0

    async def test_messages_of_any_size_pass(self, engine_of):
        engine, _ = engine_of(models.wide(2_000))
        feeds = {f"x{number}": (np.full(1, number, np.float32),) for number in range(2_000)}
        for run in await asyncio.gather(*(engine.start(feeds, []) for _ in range(3))):
            assert [run.outputs[f"y{number}"] for number in range(2_000)] == [*range(2_000)]


class TestAProcessThatEnds:
    async def test_who_runs_learns_of_it_and_who_waits_goes_on_waiting(self, engine_of):
        engine, link = engine_of(models.counting())
        running = engine.start(ENDLESS, ["y"])
        waiting = engine.start(SHORT, ["y"])
        await asyncio.sleep(0)
        with capture_logs() as logs:
            os.kill(link.pid, signal.SIGKILL)
            with pytest.raises(RunLost):
                await running
            assert (await asyncio.wait_for(waiting, 30)).outputs["y"] == 3
        assert logs[0]["how"] == "signal 9"

    async def test_nobody_needs_to_ask_for_it_to_come_back(self, engine_of):
        told = Told()
        engine, link = engine_of(models.adding(), watch=told.watch)
        await engine.start(X, ["y"])
        with capture_logs():
            os.kill(link.pid, signal.SIGKILL)
            await asyncio.wait_for(told.is_up.wait(), 30)
        assert (await engine.start(X, ["y"])).outputs["y"].max() == 1

    async def test_one_that_does_not_come_back_is_told_with_the_reason(self, engine_of):
        told = Told()

        def relink():
            raise ModelInvalid("there is no model file any more.")

        engine, link = engine_of(models.counting(), watch=told.watch, relink=relink)
        running, waiting = engine.start(ENDLESS, ["y"]), engine.start(SHORT, ["y"])
        with capture_logs():
            os.kill(link.pid, signal.SIGKILL)
            with pytest.raises(RunLost):
                await running
            with pytest.raises(EngineFailed, match="no model file any more"):
                await asyncio.wait_for(waiting, 30)
        assert "does not come back" in told.reasons[0]
        assert told.ups == 0

    async def test_one_whose_return_fails_in_an_unforeseen_way_is_told_and_tried_again(
        self, engine_of, link_to
    ):
        told, tries = Told(), []

        def relink():
            tries.append(None)
            if len(tries) == 1:
                raise OSError(24, "nobody knew")
            return link_to(models.counting())

        engine, link = engine_of(models.counting(), watch=told.watch, relink=relink)
        running, waiting = engine.start(ENDLESS, ["y"]), engine.start(SHORT, ["y"])
        with capture_logs() as logs:
            os.kill(link.pid, signal.SIGKILL)
            with pytest.raises(RunLost):
                await running
            with pytest.raises(EngineFailed, match="unexpected error"):
                await asyncio.wait_for(waiting, 30)
            assert (await asyncio.wait_for(engine.start(SHORT, ["y"]), 30)).outputs["y"] == 3
        (reason,) = told.reasons
        assert "does not come back" in reason
        assert "nobody knew" not in reason
        assert told.ups == 1
        assert [line["event"] for line in logs] == [
            "model process ended",
            "model process not brought back",
            "model unavailable",
            "model process is back",
        ]

    async def test_one_that_cannot_be_buried_comes_back_all_the_same(self, engine_of, monkeypatch):
        engine, link = engine_of(models.adding())
        await engine.start(X, ["y"])

        def close():
            raise RuntimeError("nobody knew")

        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(link, "close", close)
            os.kill(link.pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
            assert (await asyncio.wait_for(engine.start(X, ["y"]), 30)).outputs["y"].max() == 1
        assert logs[0]["event"] == "model process not buried"
        link.close()

    async def test_who_waits_when_it_is_closed_learns_of_it_whatever_became_of_its_return(
        self, engine_of
    ):
        is_told = asyncio.Event()

        def down(_):
            is_told.set()
            raise RuntimeError("nobody knew")

        def relink():
            raise ModelInvalid("there is no model file any more.")

        engine, link = engine_of(models.counting(), watch=Watch(down=down), relink=relink)
        with capture_logs():
            running = engine.start(ENDLESS, ["y"])
            os.kill(link.pid, signal.SIGKILL)
            with pytest.raises(RunLost):
                await running
            await asyncio.wait_for(is_told.wait(), 30)
            waiting = engine.start(SHORT, ["y"])
            await engine.close()
            with pytest.raises(EngineFailed, match="out of service"):
                await asyncio.wait_for(waiting, 30)

    async def test_one_that_ends_again_and_again_is_left_alone_for_a_while(
        self, engine_of, link_to
    ):
        told = Told()
        links = []

        def relink():
            links.append(link_to(models.counting()))
            return links[-1]

        engine, link = engine_of(models.counting(), watch=told.watch, relink=relink)
        links.append(link)
        with capture_logs():
            for _ in range(6):
                told.is_up.clear()
                run = engine.start(ENDLESS, ["y"])
                os.kill(links[-1].pid, signal.SIGKILL)
                with pytest.raises(RunLost):
                    await asyncio.wait_for(run, 30)
                if told.ups < 5:
                    await asyncio.wait_for(told.is_up.wait(), 30)
            with pytest.raises(EngineFailed, match="6 times in a row"):
                await asyncio.wait_for(engine.start(SHORT, ["y"]), 30)
        assert told.reasons == ["its process ended 6 times in a row"]

    async def test_one_that_answers_in_between_comes_back_every_time(self, engine_of, link_to):
        told = Told()
        links = []

        def relink():
            links.append(link_to(models.adding()))
            return links[-1]

        engine, link = engine_of(models.adding(), watch=told.watch, relink=relink)
        links.append(link)
        with capture_logs():
            for _ in range(8):
                assert (await asyncio.wait_for(engine.start(X, ["y"]), 30)).outputs["y"].max() == 1
                told.is_up.clear()
                os.kill(links[-1].pid, signal.SIGKILL)
                await asyncio.wait_for(told.is_up.wait(), 30)
        assert told.reasons == []


class TestOpening:
    async def test_a_file_that_is_no_model_says_so(self, link_to, tmp_path, zygote):
        path = tmp_path / "model.onnx"
        path.write_bytes(b"no model")
        question = Open(path, ProviderPolicy.CPU, threads=1, memory_bytes=0)
        with pytest.raises(ModelInvalid):
            Link(zygote, question, timeout_s=60)

    async def test_a_small_file_that_asks_for_gigabytes_does_not_get_them(self, link_to):
        link = link_to(models.bomb(2**28), memory_bytes=2**28)
        status = await asyncio.to_thread(Path(f"/proc/{link.pid}/status").read_text)
        (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        assert int(peak_kib) < 2**19
        link.close()

    async def test_the_limit_is_for_opening(self, link_to):
        link = link_to(models.adding(), memory_bytes=2**28)
        feeds = {"x": np.zeros((2**24, 3), np.float32)}
        assert link.run(feeds)["y"].max() == 1
        link.close()
