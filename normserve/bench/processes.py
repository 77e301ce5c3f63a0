"""What a process and all that it has started use: processor time, memory, descriptors, threads.

Reads Linux's ``/proc``; a process that ends meanwhile counts for nothing.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["ProcessTree"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_IDLE = 0.2  # of a core; what a server does on its own is less
_LOOK_S, _PATIENCE_S = 0.1, 60.0
_PRESENT, _OF_A_FILE = np.uint64(1 << 63), np.uint64(1 << 61)  # in /proc/PID/pagemap

_Pages = set[tuple[str, str, int]]
"""Of files, by device, inode and number."""


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A process and its descendants.

    Attributes:
        pid: of the first one.
    """

    pid: int

    def ids(self) -> list[int]:
        """Of all processes, the first one first."""
        return list(_descend(self.pid))

    def children(self, pid: int) -> list[int]:
        """Those that one of them has started and that run."""
        return list(_children(pid))

    def cpu_s(self) -> float:
        """Seconds of processor time so far, of those that run, in user and in kernel mode."""
        return self._sum(_ticks) / _TICKS

    def wait_until_idle(self) -> None:
        """Wait until they have nothing left to do, a minute at most.

        A server may go on with what nobody waits for any more; whoever is measured next would be
        slowed down by it.
        """
        end = time.monotonic() + _PATIENCE_S
        before = self.cpu_s()
        while time.monotonic() < end:
            time.sleep(_LOOK_S)
            now = self.cpu_s()
            if now - before <= _IDLE * _LOOK_S:
                return
            before = now

    def resident_mib(self) -> float:
        """Resident memory in MiB, what the processes share counted once.

        It is what the sum of their PSS would be if nobody else ran: libraries that programs outside
        have open too count in full, so that the number does not depend on who else is there.
        """
        pages: _Pages = set()
        anonymous_kib = self._sum(_anonymous_kib)
        self._sum(lambda folder: _add_pages(folder, pages))
        return (anonymous_kib * 1024 + len(pages) * _PAGE) / 2**20

    def descriptors(self) -> int:
        """Open file descriptors."""
        return self._sum(lambda folder: len(list((folder / "fd").iterdir())))

    def threads(self) -> int:
        """Threads."""
        return self._sum(lambda folder: len(list((folder / "task").iterdir())))

    def _sum(self, count: Callable[[Path], int]) -> int:
        total = 0
        for pid in _descend(self.pid):
            with contextlib.suppress(OSError):
                total += count(Path("/proc", str(pid)))
        return total


def _descend(pid: int) -> Iterator[int]:
    yield pid
    for child in _children(pid):
        yield from _descend(child)


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path("/proc", str(pid), "task").iterdir():
            with contextlib.suppress(OSError):
                yield from map(int, (task / "children").read_text().split())


def _ticks(folder: Path) -> int:
    behind_the_name = (folder / "stat").read_text().rpartition(")")[2].split()
    return int(behind_the_name[11]) + int(behind_the_name[12])


def _anonymous_kib(folder: Path) -> int:
    """Memory of no file; what was forked and not written to since counts in proportion."""
    lines = (folder / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def _add_pages(folder: Path, pages: _Pages) -> int:
    """Add the pages of files, shared memory among them, that a process has in memory."""
    with (folder / "pagemap").open("rb", buffering=0) as pagemap:
        for line in (folder / "maps").read_text().splitlines():
            addresses, _, offset, device, inode, *_ = line.split(maxsplit=5)
            if inode == "0":
                continue
            begin, end = (int(address, 16) // _PAGE for address in addresses.split("-"))
            pagemap.seek(begin * 8)
            entries = np.frombuffer(pagemap.read((end - begin) * 8), np.uint64)
            here = np.flatnonzero((entries & _PRESENT != 0) & (entries & _OF_A_FILE != 0))
            first = int(offset, 16) // _PAGE
            pages.update((device, inode, first + int(each)) for each in here)
    return len(pages)
