"""Numbers for Prometheus, read from what is served when they are asked for. Counts nothing.

Whatever is labelled is labelled with a model, its version and the names of its outputs: with
nothing that a client can choose, and with nothing that is not loaded. A model that is gone takes
its numbers with it.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from service.registry import Registry, ServedModel, State

__all__ = ["metrics_of"]

_MODEL = ("model", "version")
_OUTPUT = (*_MODEL, "output", "against")


def metrics_of(registry: Registry) -> CollectorRegistry:
    """The metrics of a registry of models."""
    collectors = CollectorRegistry()
    collectors.register(_Consistency(registry))
    return collectors


class _Consistency(Collector):
    """Whether models answer as they should."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Every metric, with a sample for each READY version."""
        allowed = GaugeMetricFamily(
            "normserve_batching_allowed",
            "Whether a certificate allows batches across requests.",
            labels=_MODEL,
        )
        compared = CounterMetricFamily(
            "normserve_canary_compared",
            "Requests that were computed a second time and compared.",
            labels=_MODEL,
        )
        dropped = CounterMetricFamily(
            "normserve_canary_dropped",
            "Requests that were drawn and not compared, because too much waited already.",
            labels=_MODEL,
        )
        failed = CounterMetricFamily(
            "normserve_canary_failed",
            "Requests that could not be computed a second time.",
            labels=_MODEL,
        )
        exceeded = CounterMetricFamily(
            "normserve_canary_exceeded",
            "Comparisons that were beyond the tolerance.",
            labels=_OUTPUT,
        )
        error = SummaryMetricFamily(
            "normserve_canary_error",
            "Largest absolute difference in a comparison; the sum is of the finite ones.",
            labels=_OUTPUT,
        )
        worst = GaugeMetricFamily(
            "normserve_canary_worst_error",
            "The error that was furthest beyond its tolerance, or nearest to it, since the load.",
            labels=_OUTPUT,
        )
        for model in self._models():
            labels = (model.name, str(model.version))
            seen = model.consistency.live.snapshot
            allowed.add_metric(labels, float(model.batching.allowed))
            compared.add_metric(labels, seen.compared)
            dropped.add_metric(labels, seen.dropped)
            failed.add_metric(labels, seen.failed)
            for output in seen.outputs:
                named = (*labels, output.output, output.against)
                exceeded.add_metric(named, output.exceeded)
                error.add_metric(named, count_value=output.compared, sum_value=output.error_sum)
                worst.add_metric(named, output.worst.error)
        return (allowed, compared, dropped, failed, exceeded, error, worst)

    def _models(self) -> Iterator[ServedModel]:
        for entry in self._registry.entries():
            if entry.state is State.READY and entry.model is not None:
                yield entry.model
