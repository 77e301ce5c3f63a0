"""Numbers for Prometheus, read from what is served when they are asked for.

Whatever is labelled is labelled with what the repository, the models and the routes of this server
are called: with nothing that a client can choose. A model that is gone takes its numbers with it.
"""

from prometheus_client import CollectorRegistry, ProcessCollector

from service.budget import Budget
from service.metrics.budget import BudgetCollector
from service.metrics.consistency import ConsistencyCollector
from service.metrics.inference import InferenceCollector
from service.metrics.machine import MachineCollector
from service.metrics.models import ModelCollector
from service.metrics.processes import ProcessesCollector
from service.metrics.traffic import Traffic
from service.registry import Registry

__all__ = ["Traffic", "metrics_of"]


def metrics_of(registry: Registry, traffic: Traffic, *, budget: Budget) -> CollectorRegistry:
    """All metrics of a service.

    Args:
        registry: what is served.
        traffic: what the transports have counted.
        budget: the cores, shared among runs.
    """
    collectors = CollectorRegistry()
    for collector in (
        InferenceCollector(registry),
        ModelCollector(registry),
        ConsistencyCollector(registry),
        traffic,
        BudgetCollector(budget),
        ProcessesCollector(registry),
        MachineCollector(),
    ):
        collectors.register(collector)
    ProcessCollector(registry=collectors)
    return collectors
