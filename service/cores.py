"""How many cores this process may use, and what says so. Divides them among nothing.

A container is limited in two ways: by the processors that it may run on (affinity), and by the time
that it may use on them, which the kernel counts for each control group and everything within it
(quota). Python knows of the first alone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Cores", "usable_cores"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores, and where their number is from.

    Attributes:
        count: of them; a fraction where that much time of one may be used.
        source: ``quota`` of a control group, ``affinity``, all of the ``machine``, or ``setting``.
    """

    count: float
    source: str

    @property
    def whole(self) -> int:
        """Threads that may compute all the time; at least 1.

        A fraction is no thread's: one more would be held up by the kernel again and again, and all
        others with it. It is left to the server itself.
        """
        return max(1, int(self.count))


def usable_cores(proc: Path = _PROC) -> Cores:
    """The cores that this process may use.

    Args:
        proc: where the kernel tells of this process.
    """
    there = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = min(_quotas(proc), default=None)
    if quota is not None and quota < allowed:
        return Cores(quota, "quota")
    return Cores(float(allowed), "affinity" if allowed < there else "machine")


def _quotas(proc: Path) -> Iterator[float]:
    """What the process's control group and each one around it allow, in cores.

    Raises nothing: where there are no control groups, there is no quota.
    """
    groups = _groups(proc)
    for root, point, controllers in _mounts(proc):
        own = next((group for names, group in groups if controllers & names), None)
        if own is None:
            continue
        # without a namespace of its own, a container sees its path on the host, and where that is
        # mounted here
        inside = own.is_relative_to(root) and ".." not in own.parts
        folder = point / own.relative_to(root) if inside else point
        while True:
            quota = _quota_of(folder)
            if quota is not None:
                yield quota
            if folder == point:
                break
            folder = folder.parent


def _groups(proc: Path) -> list[tuple[frozenset[str], PurePosixPath]]:
    """The control groups of the process by their controllers; version 2 names none: ``""``."""
    lines = (line.split(":", 2) for line in _read(proc / "self/cgroup").splitlines())
    return [
        (frozenset(line[1].split(",")), PurePosixPath(line[2])) for line in lines if len(line) == 3
    ]


def _mounts(proc: Path) -> Iterator[tuple[PurePosixPath, Path, frozenset[str]]]:
    """Where control groups that limit processors are mounted.

    Yields:
        Which group is mounted, where, and the controllers that `_groups` has for it. See
        ``proc_pid_mountinfo(5)``.
    """
    for line in _read(proc / "self/mountinfo").splitlines():
        mount, _, system = line.partition(" - ")
        kind, _, options = system.partition(" ")
        if kind == "cgroup2":
            controllers = frozenset({""})
        elif kind == "cgroup" and "cpu" in options.split()[-1].split(","):
            controllers = frozenset({"cpu"})
        else:
            continue
        root, point = (field.encode().decode("unicode_escape") for field in mount.split()[3:5])
        yield PurePosixPath(root), Path(point), controllers


def _quota_of(folder: Path) -> float | None:
    """What one control group allows, of either version."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us").strip()
        period = _read(folder / "cpu.cfs_period_us").strip()
    if not quota.isdecimal() or not period.isdecimal():  # "max", and -1, are no limit
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
