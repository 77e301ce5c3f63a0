import asyncio
import os
import signal
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from structlog.testing import capture_logs

from bundle import GraphLevel, ProviderPolicy, SessionTuning
from service.engine import ProcessWorkshop, ThreadWorkshop, Watch, Zygote
from service.engine.link import Link
from service.engine.messages import Open
from service.lifecycle import Service
from service.settings import Settings
from tests.service import tiny
from tests.service.engine import models
from tests.service.serving import ask, index, settle

X = {"x": np.ones((1, 2), np.float32)}


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote.launch()
    yield zygote
    zygote.close()


@pytest.fixture(params=["thread", "process"])
def workshop(request, zygote):
    workshop = (
        ThreadWorkshop(at_once=3)
        if request.param == "thread"
        else ProcessWorkshop(zygote, at_once=3, load_timeout_s=60, run_timeout_s=60)
    )
    yield workshop
    if request.param == "thread":
        workshop.close()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(tiny.identity(tiny.Datatype.FP32, ("rows", 2)), path)
    return path


def threads_of(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.mark.parametrize(("asked", "made"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_a_model_runs_as_often_at_once_as_it_is_asked_to_within_the_workshops_own(
    workshop, path, asked, made
):
    opened = workshop.open(path, policy=ProviderPolicy.CPU, threads=1, at_once=asked)
    engine_at_once = opened.engine(lambda _: None).at_once
    assert (opened.at_once, engine_at_once) == (made, made)
    opened.close()


def test_a_model_is_opened_as_it_is_tuned(workshop, path):
    plain = workshop.open(path, policy=ProviderPolicy.CPU, threads=1)
    bare = workshop.open(
        path, policy=ProviderPolicy.CPU, threads=1, tuning=SessionTuning(level=GraphLevel.NONE)
    )
    assert bare.run(X)["y"].tolist() == plain.run(X)["y"].tolist() == [[1.0, 1.0]]
    plain.close()
    bare.close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_process_of_a_model_has_the_threads_of_its_runs_and_of_its_instances(zygote, path):
    def count(*, lanes, **how):
        question = Open(path, ProviderPolicy.CPU, memory_bytes=0, lanes=lanes, **how)
        link = Link(zygote, question, timeout_s=60)
        threads = threads_of(link.pid)
        link.close()
        return threads

    one = count(threads=1, lanes=1)
    assert count(threads=1, lanes=3) == one + 2
    assert count(threads=4, lanes=1) == one + 3
    assert count(threads=1, lanes=1, tuning=SessionTuning(inter_op_threads=3)) == one + 2


async def test_a_model_that_never_ends_when_it_is_tried_again_is_told_down(zygote, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(models.endless(), path)
    workshop = ProcessWorkshop(zygote, at_once=1, load_timeout_s=1, run_timeout_s=60)
    engine = workshop.open(path, policy=ProviderPolicy.CPU, threads=1).engine(
        lambda another: another.run(X)
    )
    reasons: asyncio.Queue[str] = asyncio.Queue()
    engine.watch = Watch(down=reasons.put_nowait)
    waiting = engine.start({"x": (X["x"],)}, ["y"])
    with capture_logs():
        os.kill(engine.pid, signal.SIGKILL)
        reason = await asyncio.wait_for(reasons.get(), 30)
        await engine.close()
    assert "does not come back: it took longer than 1 s to run the model" in reason
    assert waiting.exception() is not None


async def test_a_model_whose_golden_sample_never_ends_is_unavailable_and_says_why(
    tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(tiny, "scale", lambda _: models.endless())
        tiny.write_verified(tmp_path, "endless")
    tiny.write_verified(tmp_path, "m", factor=2.0)
    settings = Settings(repository=tmp_path, consistency_at_load=False, load_timeout_s=1)
    zygote = Zygote.launch()
    with capture_logs():
        async with Service(settings, zygote=zygote) as service:
            await settle(lambda: "loading" not in str(service.plane.readiness()))
            assert index(service) == {
                ("endless", 1): (
                    "UNAVAILABLE",
                    "it took longer than 1 s to run the model (NORMSERVE_LOAD_TIMEOUT_S)",
                ),
                ("m", 1): ("READY", ""),
            }
            assert await ask(service) == (2.0, 1)
            await asyncio.wait_for(service.control.unload("endless"), 30)
