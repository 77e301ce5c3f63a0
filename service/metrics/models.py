"""Which state each model version is in, how it was loaded, and where it runs. Counts nothing."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics.served import MODEL, labels_of, ready_models
from service.registry import Registry, State

__all__ = ["ModelCollector"]


class ModelCollector(Collector):
    """What the registry knows."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """The state of each version that is wanted, and more of each READY one."""
        return (self._states(), *self._loaded())

    def _states(self) -> Metric:
        states = GaugeMetricFamily(
            "normserve_model_state",
            "1 for the state that a version is in, 0 for the others; none once it is unloaded.",
            labels=(*MODEL, "state"),
        )
        for entry in self._registry.entries():
            if not entry.is_wanted and entry.state is State.UNAVAILABLE:
                continue
            for state in State:
                labels = (entry.name, str(entry.version), state.value)
                states.add_metric(labels, float(entry.state is state))
        return states

    def _loaded(self) -> Iterable[Metric]:
        took = GaugeMetricFamily(
            "nv_model_load_duration_secs",
            "Seconds that the version took to load and to verify.",
            labels=MODEL,
        )
        nodes = GaugeMetricFamily(
            "normserve_provider_nodes",
            "Nodes of the model that run on each execution provider.",
            labels=(*MODEL, "provider"),
        )
        golden = GaugeMetricFamily(
            "normserve_golden_max_abs_error",
            "Largest difference from a golden sample when the version was loaded.",
            labels=MODEL,
        )
        for model in ready_models(self._registry):
            labels = labels_of(model)
            took.add_metric(labels, model.load_s)
            for provider, count in model.consistency.placement.nodes.items():
                nodes.add_metric((*labels, provider), count)
            if model.consistency.golden is not None:
                golden.add_metric(labels, model.consistency.golden.max_abs_error)
        return took, nodes, golden
