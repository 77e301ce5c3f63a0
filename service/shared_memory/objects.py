"""POSIX shared memory objects: opened by their key, read and written by copying.

Nothing is mapped. Whoever shares an object may cut it at any time, and a process that touches a
mapping beyond the new end is killed (SIGBUS); a read beyond the end is short, and can be refused.
"""

import os
import stat
import weakref

import numpy as np

from service.errors import RegionInvalid, excerpt

__all__ = ["SharedObject"]

_FOLDER = "/dev/shm"  # noqa: S108  # where Linux keeps the objects of shm_open; not a temporary file
_LONGEST_KEY = 255
"""The longest name of a file, in bytes."""


class SharedObject:
    """An open object; closed when nobody holds it any more.

    Args:
        key: its name as ``shm_open`` takes it, with or without the leading slash.

    Raises:
        RegionInvalid: the key is no such name, there is no such object, the server may not read and
            write it, or it is something else than memory.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._descriptor = _open(key)
        weakref.finalize(self, os.close, self._descriptor)

    @property
    def byte_size(self) -> int:
        """Bytes that it has now; whoever shares it may change that."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, byte_size: int) -> memoryview:
        """A copy of some of its bytes.

        Raises:
            RegionInvalid: it does not have them, or not any more.
        """
        copy = np.empty(byte_size, dtype=np.uint8).data
        done = 0
        while done < byte_size:
            try:
                count = os.preadv(self._descriptor, [copy[done:]], offset + done)
            except OSError as err:
                raise self._failed("read", err) from err
            if count == 0:
                self.require(offset + byte_size)
            done += count
        return copy.toreadonly()

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Overwrite some of its bytes.

        Raises:
            RegionInvalid: it does not have them, or not any more, or they cannot be written.
        """
        self.require(offset + len(content))
        rest = memoryview(content)
        while rest:
            try:
                count = os.pwrite(self._descriptor, rest, offset)
            except OSError as err:  # the machine has no memory left, for instance
                raise self._failed("written", err) from err
            rest, offset = rest[count:], offset + count

    def require(self, byte_size: int) -> None:
        """Whether it has as many bytes now.

        Raises:
            RegionInvalid: it has fewer.
        """
        there = self.byte_size
        if there < byte_size:
            raise RegionInvalid(
                f"the shared memory object {excerpt(self._key)} has {there} bytes;"
                f" {byte_size} are wanted of it"
            )

    def _failed(self, what: str, err: OSError) -> RegionInvalid:
        return RegionInvalid(
            f"the shared memory object {excerpt(self._key)} cannot be {what}: {err.strerror}"
        )


def _open(key: str) -> int:
    name = key.removeprefix("/")
    if not 0 < len(name.encode()) <= _LONGEST_KEY or "/" in name or "\0" in name:
        raise RegionInvalid(
            f"{excerpt(key)} is no key of a shared memory object; it wants one slash at most, in"
            f" front of a name of 1 to {_LONGEST_KEY} bytes"
        )
    # no link is followed, and a pipe is not waited for
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(f"{_FOLDER}/{name}", flags)
    except OSError as err:
        raise RegionInvalid(
            f"the shared memory object {excerpt(key)} cannot be opened: {err.strerror}"
        ) from err
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RegionInvalid(f"{excerpt(key)} is no shared memory object")
    return descriptor
