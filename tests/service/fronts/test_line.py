"""Messages between two ends of a line."""

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from pickle import PickleBuffer

import pytest

from service.fronts.line import Line
from tests.service.serving import settle


class End:
    """One end, and what has come to it."""

    def __init__(self, end):
        self.messages = []
        self.fds = []
        self.lost = 0
        self.line = Line(end, received=self._received, lost=self._lost)

    def _received(self, message, fds):
        self.messages.append(message)
        self.fds += fds

    def _lost(self):
        self.lost += 1

    async def until(self, condition):
        await settle(lambda: condition(self))


@asynccontextmanager
async def ends():
    here, there = map(End, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    try:
        yield here, there
    finally:
        here.line.close()
        there.line.close()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_messages_come_in_order_whatever_their_size():
    sizes = [1, 70_000, 5, 3_000_000, 40_000, 40_000, 40_000, 2] * 20
    async with ends() as (here, there):
        for number, size in enumerate(sizes):
            here.line.send((number, "x" * size))
        await there.until(lambda end: len(end.messages) == len(sizes))
    assert [(number, len(text)) for number, text in there.messages] == list(enumerate(sizes))


@pytest.mark.parametrize("size", [0, 100, 16 * 2**10, 16 * 2**10 + 1, 5_000_000])
async def test_tensors_come_as_they_were_and_leave_nothing_behind(size):
    content = os.urandom(size)
    before = open_files()
    async with ends() as (here, there):
        for _ in range(3):
            here.line.send((1, PickleBuffer(content), PickleBuffer(b"")), size=size)
        await there.until(lambda end: len(end.messages) == 3)
        for _, tensor, nothing in there.messages:
            assert (bytes(tensor), bytes(nothing)) == (content, b"")
        del tensor, nothing
        there.messages.clear()
    assert open_files() == before


async def test_descriptors_go_with_their_messages():
    async with ends() as (here, there):
        pipes = [os.pipe() for _ in range(200)]
        for number, (reading, writing) in enumerate(pipes):
            os.write(writing, b"%d" % number)
            os.close(writing)
            here.line.send((number,), fds=[reading])
        await there.until(lambda end: len(end.messages) == len(pipes))
        assert [os.read(fd, 10) for fd in there.fds] == [b"%d" % n for n in range(len(pipes))]
        for fd in there.fds:
            os.close(fd)


async def test_an_end_learns_once_that_the_other_is_gone_and_sends_nothing_more():
    async with ends() as (here, there):
        there.line.close()
        await here.until(lambda end: end.lost)
        before = open_files()
        here.line.send((1, PickleBuffer(bytes(10**6))), fds=[os.open("/dev/null", 0)], size=10**6)
        await asyncio.sleep(0)
        assert open_files() == before
    assert (here.lost, there.lost) == (1, 0)


async def test_what_waits_is_sent_before_it_ends():
    async with ends() as (here, there):
        here.line.send(("last",))
        here.line.finish()
        await there.until(lambda end: end.lost)
    assert there.messages == [("last",)]
