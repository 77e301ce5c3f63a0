import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle import GraphLevel, ProviderPolicy, SessionTuning
from service.engine import ProcessWorkshop, ThreadWorkshop, Zygote
from service.engine.link import Link
from service.engine.messages import Open
from tests.service import tiny

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
