"""A line between two processes of the service: messages, in order, many at a time. Knows none.

A message is a plain value, and may have file descriptors with it. What is sent in one turn of the
event loop goes together. The tensors of a large one are written once, into memory that has no name
(`memfd_create(2)`), and are read where they lie; it goes when nobody looks at it any more.
"""

import asyncio
import contextlib
import mmap
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["Line", "Message"]

Message = tuple[Any, ...]
"""Its kind (`service.fronts.messages`), and what belongs to that."""

_INLINE_BYTES: Final = 16 * 2**10
"""Of tensors that are sent as they are: copying them takes less time than memory of their own."""
_PACKET_BYTES: Final = 48 * 2**10
"""Of messages that are sent together; one that is larger goes into memory of its own."""
_PACKET_FDS: Final = 64
_RECEIVED_BYTES: Final = 2**17
"""More than a packet has, with what is said of each of its messages."""
_PACKETS_A_TURN: Final = 16
_ALIGNMENT: Final = 64


class _Sent(NamedTuple):
    """A message on its way.

    Attributes:
        content: pickled; empty where it is in memory of its own.
        sizes: of what is in that memory, which is the first descriptor: the buffers, then the
            pickled message; ``None`` where there is none.
        fds: that go with it.
    """

    content: bytes
    sizes: tuple[int, ...] | None
    fds: tuple[int, ...]


class Line:
    """One end of a line, on the running event loop.

    Args:
        end: a socket of packets (``SOCK_SEQPACKET``), which the line owns.
        received: is given each message, and owns the descriptors that came with it.
        lost: is told, once, that the other end is gone.
    """

    def __init__(
        self,
        end: socket.socket,
        *,
        received: Callable[[Message, Sequence[int]], None],
        lost: Callable[[], None],
    ) -> None:
        end.settimeout(0)
        self._end = end
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Sent] = deque()
        self._is_due = False
        self._is_open = True
        self._loop.add_reader(end.fileno(), self._read)

    def send(self, message: Message, *, fds: Sequence[int] = (), size: int = 0) -> None:
        """Send a message, soon. Where the other end is gone, nothing happens.

        Args:
            message: its tensors are `pickle.PickleBuffer`.
            fds: that go with it; they are closed here once they are sent.
            size: bytes of the tensors.

        Raises:
            OSError: there is no memory for the tensors, or no descriptor for it.
        """
        buffers: list[pickle.PickleBuffer] = []
        keep_out = buffers.append if size > _INLINE_BYTES else None
        content = pickle.dumps(message, 5, buffer_callback=keep_out)
        sent = _Sent(content, None, tuple(fds))
        if buffers or len(content) > _PACKET_BYTES:
            parts = [*(buffer.raw() for buffer in buffers), memoryview(content)]
            sent = _Sent(b"", tuple(map(len, parts)), (_write(parts), *fds))
        if not self._is_open:
            _close(sent.fds)
            return
        self._waiting.append(sent)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def finish(self) -> None:
        """Send what still waits, however long it takes, and close."""
        if self._is_open:
            self._loop.remove_reader(self._end.fileno())
            self._loop.remove_writer(self._end.fileno())
            self._end.settimeout(None)
            self._flush()
            self.close()

    def close(self) -> None:
        """Give it up; nobody is told."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._end.fileno())
            self._loop.remove_writer(self._end.fileno())
            self._end.close()
            for sent in self._waiting:
                _close(sent.fds)
            self._waiting.clear()

    def _flush(self) -> None:
        self._is_due = False
        while self._waiting and self._is_open:
            packet = self._next_packet()
            entries = [(sent.content, sent.sizes, len(sent.fds)) for sent in packet]
            fds = [fd for sent in packet for fd in sent.fds]
            try:
                socket.send_fds(self._end, [pickle.dumps(entries)], fds)
            except BlockingIOError:
                self._is_due = True
                self._loop.add_writer(self._end.fileno(), self._flush_on)
                return
            except OSError:
                self._lose()
                return
            for _ in packet:
                self._waiting.popleft()
            _close(fds)

    def _flush_on(self) -> None:
        self._loop.remove_writer(self._end.fileno())
        self._flush()

    def _next_packet(self) -> list[_Sent]:
        """The first of those that wait, as many as go together."""
        packet: list[_Sent] = []
        size = count = 0
        for sent in self._waiting:
            size += len(sent.content)
            count += len(sent.fds)
            if packet and (size > _PACKET_BYTES or count > _PACKET_FDS):
                break
            packet.append(sent)
        return packet

    def _read(self) -> None:
        for _ in range(_PACKETS_A_TURN):
            try:
                content, fds, flags, _ = socket.recv_fds(
                    self._end, _RECEIVED_BYTES, _PACKET_FDS + 2, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                content, fds, flags = b"", [], 0
            if not content or flags & socket.MSG_CTRUNC:  # gone, or no descriptors left for these
                _close(fds)
                self._lose()
                return
            rest = iter(fds)
            for pickled, sizes, count in pickle.loads(content):  # noqa: S301  # our own other end
                own = [next(rest) for _ in range(count)]
                self._received(_message(pickled, sizes, own), own)
            if not self._is_open:
                return

    def _lose(self) -> None:
        if self._is_open:
            self.close()
            self._lost()


def _write(parts: Sequence[memoryview]) -> int:
    """The descriptor of new memory with these in it."""
    fd = os.memfd_create("normserve")
    try:
        start = 0
        for part in parts:
            written = 0
            while written < len(part):
                written += os.pwrite(fd, part[written:], start + written)
            start += _aligned(len(part))
    except OSError:
        os.close(fd)
        raise
    return fd


def _message(pickled: bytes, sizes: tuple[int, ...] | None, fds: list[int]) -> Message:
    """A message that came; the descriptor of its memory is taken from the others, and closed."""
    if sizes is None:
        message: Message = pickle.loads(pickled)  # noqa: S301  # of our own other end
        return message
    fd = fds.pop(0)
    try:
        memory = memoryview(mmap.mmap(fd, 0, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ))
    finally:
        os.close(fd)
    parts, start = [], 0
    for size in sizes:
        parts.append(memory[start : start + size])
        start += _aligned(size)
    *buffers, content = parts
    whole: Message = pickle.loads(content, buffers=buffers)  # noqa: S301  # as above
    return whole


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
