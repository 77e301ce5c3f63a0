"""What the models' processes use, how often they ended, and what all processes use together."""

import os
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics.proc import Proc
from service.metrics.served import MODEL
from service.registry import Registry

__all__ = ["ProcessesCollector"]


class ProcessesCollector(Collector):
    """Asks the kernel for them.

    Args:
        registry: whose models they run.
        proc: where the kernel tells of processes.
    """

    def __init__(self, registry: Registry, proc: Proc | None = None) -> None:
        self._registry = registry
        self._proc = proc or Proc()

    def collect(self) -> Iterable[Metric]:
        """Those of each model that has a process of its own, and those of all together."""
        return (*self._workers(), *self._all())

    def _workers(self) -> Iterable[Metric]:
        cpu = CounterMetricFamily(
            "normserve_worker_cpu_seconds",
            "Seconds that the model's process has computed for; anew after it was replaced.",
            labels=MODEL,
        )
        memory = GaugeMetricFamily(
            "normserve_worker_resident_memory_bytes",
            "Memory of the model's process, with what it shares with others.",
            labels=MODEL,
        )
        deaths = CounterMetricFamily(
            "normserve_worker_deaths",
            "How often the model's process ended, or had to be ended, since the model was loaded.",
            labels=MODEL,
        )
        for entry in self._registry.entries():
            engine = None if entry.model is None else entry.model.engine
            if engine is None:
                continue
            labels = (entry.name, str(entry.version))
            deaths.add_metric(labels, engine.deaths)
            pid = engine.pid
            usage = None if pid is None else self._proc.usage(pid)
            if usage is not None:
                cpu.add_metric(labels, usage.cpu_s)
                memory.add_metric(labels, usage.resident_bytes)
        return cpu, memory, deaths

    def _all(self) -> Iterable[Metric]:
        """The server, the models' processes and those that examine models."""
        tree = self._proc.tree(os.getpid())
        if not tree:
            return
        yield GaugeMetricFamily("normserve_processes", "Processes of the service.", value=len(tree))
        yield CounterMetricFamily(
            "normserve_processes_cpu_seconds",
            "Seconds that they have computed for, and those that have ended.",
            value=sum(usage.cpu_s + usage.ended_cpu_s for usage in tree.values()),
        )
        shares = [
            share for pid in tree if (share := self._proc.proportional_bytes(pid)) is not None
        ]
        if shares:
            yield GaugeMetricFamily(
                "normserve_processes_memory_bytes",
                "Their memory; what several of them have is counted once.",
                value=sum(shares),
            )
