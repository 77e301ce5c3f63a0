"""What this is and what it runs on: releases, threads, the machine's processors and memory.

Triton's metrics of the CPU are the whole machine's, read from ``/proc``, and so are these; where
there is no ``/proc``, there are none.
"""

from collections.abc import Iterable
from pathlib import Path
from platform import python_version

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bundle.checks.device import runtime
from service.machine import normserve_version

__all__ = ["MachineCollector"]

_KIB = 1024
_IDLE = (3, 4)
"""The columns of ``/proc/stat`` in which nothing ran: idle, and waiting for a disk."""
_COUNTED = 8
"""The columns that add up to all time; those behind them are parts of others."""


class MachineCollector(Collector):
    """Reads them.

    Args:
        proc: where the kernel tells of itself.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._before = self._ticks()

    def collect(self) -> Iterable[Metric]:
        """Every metric that this machine has; the utilization is since it was asked for last."""
        yield InfoMetricFamily(
            "normserve_build",
            "What is running.",
            value={
                "version": normserve_version(),
                "runtime": runtime(),
                "python": python_version(),
            },
        )
        threads = self._fields("self/status").get("Threads")
        if threads is not None:
            yield GaugeMetricFamily(
                "process_threads", "Threads of the process.", value=int(threads)
            )
        yield from self._processors()
        yield from self._memory()

    def _processors(self) -> Iterable[Metric]:
        before, now = self._before, self._ticks()
        self._before = now
        if before is None or now is None:
            return
        passed = [later - earlier for earlier, later in zip(before, now, strict=True)]
        total = sum(passed)
        idle = sum(passed[column] for column in _IDLE)
        yield GaugeMetricFamily(
            "nv_cpu_utilization",
            "The share of all processors' time that was used, 0 to 1, since this was last read.",
            value=min(max(1 - idle / total, 0.0), 1.0) if total > 0 else 0.0,
        )

    def _memory(self) -> Iterable[Metric]:
        told = self._fields("meminfo")
        if "MemTotal" not in told or "MemAvailable" not in told:
            return
        total, available = (_kib(told[name]) for name in ("MemTotal", "MemAvailable"))
        yield GaugeMetricFamily(
            "nv_cpu_memory_total_bytes", "The machine's memory in bytes.", value=total
        )
        yield GaugeMetricFamily(
            "nv_cpu_memory_used_bytes", "Bytes of it that are used.", value=total - available
        )

    def _ticks(self) -> list[int] | None:
        """Ticks of the clock by what all processors did in them, since the machine started."""
        line = self._read("stat").partition("\n")[0].split()
        return [int(ticks) for ticks in line[1 : 1 + _COUNTED]] if line[:1] == ["cpu"] else None

    def _fields(self, path: str) -> dict[str, str]:
        """The lines ``Name: value`` of a file."""
        lines = (line.partition(":") for line in self._read(path).splitlines())
        return {name: value.strip() for name, separator, value in lines if separator}

    def _read(self, path: str) -> str:
        try:
            return (self._proc / path).read_text()
        except OSError:
            return ""


def _kib(value: str) -> int:
    return int(value.removesuffix("kB")) * _KIB
