"""What the kernel tells of processes, in ``/proc``. Where there is none, nothing is told.

Source: ``proc_pid_stat(5)``, ``proc_pid_smaps(5)``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Proc", "Usage"]

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used.

    Attributes:
        parent: its parent's number.
        cpu_s: seconds that it has computed for.
        ended_cpu_s: seconds of its children that have ended, and theirs.
        resident_bytes: of memory that it has, whoever else has it too.
    """

    parent: int
    cpu_s: float
    ended_cpu_s: float
    resident_bytes: int


class Proc:
    """Reads it.

    Args:
        root: where it is.
    """

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = root
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def usage(self, pid: int) -> Usage | None:
        """What a process has used; None if it is not there."""
        # the name, in parentheses, may have blanks and parentheses in it
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        if not fields:
            return None
        user, system, ended_user, ended_system = map(int, fields[11:15])
        return Usage(
            parent=int(fields[1]),
            cpu_s=(user + system) * self._tick_s,
            ended_cpu_s=(ended_user + ended_system) * self._tick_s,
            resident_bytes=int(fields[21]) * self._page_bytes,
        )

    def tree(self, pid: int) -> Mapping[int, Usage]:
        """A process and all that descend from it and are there, by their numbers."""
        there = {
            int(entry.name): usage
            for entry in self._root.glob("[0-9]*")
            if (usage := self.usage(int(entry.name))) is not None
        }
        children: dict[int, list[int]] = {}
        for child, usage in there.items():
            children.setdefault(usage.parent, []).append(child)
        found = {}
        looked_at = [pid]
        while looked_at:
            next_pid = looked_at.pop()
            if next_pid in there:
                found[next_pid] = there[next_pid]
                looked_at += children.get(next_pid, ())
        return found

    def proportional_bytes(self, pid: int) -> int | None:
        """Memory of a process, where what several have is divided among them; None if not told."""
        for line in self._read(f"{pid}/smaps_rollup").splitlines():
            name, _, value = line.partition(":")
            if name == "Pss":
                return int(value.split()[0]) * _KIB
        return None

    def _read(self, path: str) -> str:
        try:
            return (self._root / path).read_text()
        except OSError:  # it has ended, or is somebody else's
            return ""
