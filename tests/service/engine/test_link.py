"""The server's end of a worker that does not answer, or cannot be started."""

import errno
import gc
import itertools
import os
import resource
import signal
import socket
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle import ProviderPolicy
from service.engine import Zygote
from service.engine.link import Link
from service.engine.messages import Open
from service.errors import EngineFailed
from tests.service import tiny
from tests.service.engine import models
from tests.service.process import children

ENDLESS = {"n": np.array(2**62), "x": np.zeros(1, np.float32)}
SHORT = {"n": np.array(3), "x": np.zeros(1, np.float32)}


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote.launch()
    yield zygote
    zygote.close()


@pytest.fixture
def link_to(zygote, tmp_path):
    """Makes links to a worker that counts; ends what is left of them."""
    links = []
    path = tmp_path / "model.onnx"
    onnx.save(models.counting(), path)

    def link(*, timeout_s=60.0):
        question = Open(path, ProviderPolicy.CPU, threads=1, memory_bytes=0, lanes=1)
        links.append(Link(zygote, question, timeout_s=timeout_s))
        return links[-1]

    yield link
    for made in links:
        made.close()


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descriptors():
    gc.collect()  # what other tests have left must not go in between
    return {int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists()}


def forked():
    """The processes that zygotes have forked, and that were not waited for."""
    return {pid for child in children(os.getpid()) for pid in children(child)}


@contextmanager
def room_for(more):
    """Of descriptors, so many and no more."""
    used = descriptors()
    free = (number for number in itertools.count() if number not in used)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, more, None)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestARunBeforeItServes:
    def test_one_that_never_ends_is_ended_with_its_process(self, link_to):
        link = link_to(timeout_s=1)
        with pytest.raises(EngineFailed, match=r"longer than 1 s .*NORMSERVE_LOAD_TIMEOUT_S"):
            link.run(ENDLESS)
        assert not is_there(link.pid)

    def test_one_whose_process_has_stopped_is_ended_with_it(self, link_to):
        link = link_to(timeout_s=1)
        os.kill(link.pid, signal.SIGSTOP)
        tasks = list(Path(f"/proc/{link.pid}/task").iterdir())
        tiny.wait_for(lambda: all(") T " in (task / "stat").read_text() for task in tasks))
        with pytest.raises(EngineFailed, match="longer than 1 s"):
            link.run(SHORT)
        assert not is_there(link.pid)

    def test_one_whose_process_ends_says_how(self, link_to):
        link = link_to()
        os.kill(link.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="signal 9"):
            link.run(SHORT)

    def test_a_link_that_was_closed_by_it_is_closed_again_without_harm(self, link_to):
        link = link_to()
        os.kill(link.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed):
            link.run(SHORT)
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            others = [one, two, three]  # they have numbers now that the link had
            assert link.close() == "signal 9"
            assert all(os.fstat(other.fileno()) for other in others)
        assert link_to().run(SHORT)["y"] == 3  # what forks workers is there as well


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
class TestWithoutDescriptors:
    NEEDED = 7
    """Two areas, two ends each of two lines, and the process."""

    @pytest.mark.parametrize("more", range(NEEDED))
    def test_a_link_that_cannot_be_made_leaves_nothing(self, link_to, more):
        link_to().close()
        before = descriptors(), forked()
        with room_for(more), pytest.raises(EngineFailed, match="no worker can be started"):
            link_to()
        assert (descriptors(), forked()) == before
        with room_for(self.NEEDED):
            link = link_to()
        assert link.run(SHORT)["y"] == 3

    def test_a_worker_that_cannot_be_held_is_ended(self, link_to, monkeypatch):
        before = descriptors(), forked()

        def pidfd_open(pid):
            assert is_there(pid)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", pidfd_open)
            with pytest.raises(EngineFailed, match="started: Too many open files"):
                link_to()
        assert (descriptors(), forked()) == before

    @pytest.mark.parametrize("error", [OSError(errno.ETOOMANYREFS, "too many"), KeyboardInterrupt])
    def test_a_worker_that_cannot_be_asked_for_leaves_nothing(self, link_to, monkeypatch, error):
        before = descriptors(), forked()

        def send_fds(*_):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(socket, "send_fds", send_fds)
            with pytest.raises((EngineFailed, KeyboardInterrupt)):
                link_to()
        assert (descriptors(), forked()) == before
