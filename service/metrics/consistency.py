"""Whether models answer as they should, as far as that is known. Finds nothing out."""

from collections.abc import Iterable

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from service.consistency import Phase
from service.metrics.served import MODEL, labels_of, ready_models
from service.registry import Registry

__all__ = ["ConsistencyCollector"]

_OUTPUT = (*MODEL, "output", "against")


class ConsistencyCollector(Collector):
    """What is known of the READY versions, and what the canary has seen of them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Every metric, with a sample for each READY version."""
        allowed = GaugeMetricFamily(
            "normserve_batching_allowed",
            "Whether a certificate allows batches across requests.",
            labels=MODEL,
        )
        states = GaugeMetricFamily(
            "normserve_consistency_state",
            "1 for how far it is known whether a version answers as it should, 0 for the others.",
            labels=(*MODEL, "state"),
        )
        compared = CounterMetricFamily(
            "normserve_canary_compared",
            "Requests that were computed a second time and compared.",
            labels=MODEL,
        )
        dropped = CounterMetricFamily(
            "normserve_canary_dropped",
            "Requests that were drawn and not compared, because too much waited already.",
            labels=MODEL,
        )
        failed = CounterMetricFamily(
            "normserve_canary_failed",
            "Requests that could not be computed a second time.",
            labels=MODEL,
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
        for model in ready_models(self._registry):
            labels = labels_of(model)
            seen = model.consistency.live.snapshot
            allowed.add_metric(labels, float(model.batching.allowed))
            for phase in Phase:
                is_in = model.consistency.status.phase is phase
                states.add_metric((*labels, phase.value), float(is_in))
            compared.add_metric(labels, seen.compared)
            dropped.add_metric(labels, seen.dropped)
            failed.add_metric(labels, seen.failed)
            for output in seen.outputs:
                named = (*labels, output.output, output.against)
                exceeded.add_metric(named, output.exceeded)
                error.add_metric(named, count_value=output.compared, sum_value=output.error_sum)
                worst.add_metric(named, output.worst.error)
        return (allowed, states, compared, dropped, failed, exceeded, error, worst)
