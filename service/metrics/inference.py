"""Requests and the time that they took: Triton's counters under its names, and histograms.

Source: https://github.com/triton-inference-server/server, docs/user_guide/metrics.md.
"""

from collections.abc import Iterable

from prometheus_client.core import (
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.metrics.served import MODEL, labels_of, ready_models
from service.registry import Registry
from service.statistics import Buckets, Statistics

__all__ = ["InferenceCollector"]

_NS_A_US = 1000


class InferenceCollector(Collector):
    """What the recorders of the READY versions have counted."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Every metric, with a sample for each READY version."""
        seen = [
            (labels_of(model), model.recorder.statistics) for model in ready_models(self._registry)
        ]
        return (*_counters(seen), _pending(seen), *_histograms(seen))


_Seen = list[tuple[tuple[str, str], Statistics]]


def _counters(seen: _Seen) -> Iterable[Metric]:
    success = _counter("nv_inference_request_success", "Requests that were answered.")
    failure = _counter("nv_inference_request_failure", "Requests that were not.", "reason")
    count = _counter("nv_inference_count", "Inferences that were answered.")
    executions = _counter("nv_inference_exec_count", "Runs of the model.")
    request = _duration("request", "that answered requests took")
    queue = _duration("queue", "of it waiting for a run")
    taken_apart = _duration("compute_input", "of it taking requests apart")
    compute = _duration("compute_infer", "of it in the model")
    written = _duration("compute_output", "of it writing replies")
    for labels, now in seen:
        success.add_metric(labels, now.success.count)
        for reason, number in now.failures.items():
            failure.add_metric((*labels, reason), number)
        count.add_metric(labels, now.inference_count)
        executions.add_metric(labels, now.execution_count)
        for family, duration in (
            (request, now.success),
            (queue, now.queue),
            (taken_apart, now.compute_input),
            (compute, now.compute_infer),
            (written, now.compute_output),
        ):
            family.add_metric(labels, duration.ns // _NS_A_US)
    return success, failure, count, executions, request, queue, taken_apart, compute, written


def _pending(seen: _Seen) -> Metric:
    pending = GaugeMetricFamily(
        "nv_inference_pending_request_count", "Requests that wait or run.", labels=MODEL
    )
    for labels, now in seen:
        pending.add_metric(labels, now.pending)
    return pending


def _histograms(seen: _Seen) -> Iterable[Metric]:
    requests = _histogram(
        "normserve_request_duration_seconds",
        "How long answered requests took, from the first byte decoded to the last encoded.",
    )
    queue = _histogram("normserve_queue_duration_seconds", "How long they waited for a run.")
    rows = _histogram("normserve_batch_rows", "Rows of each run of the model.")
    for labels, now in seen:
        for family, buckets in (
            (requests, now.request_seconds),
            (queue, now.queue_seconds),
            (rows, now.run_rows),
        ):
            family.add_metric(labels, buckets=_buckets(buckets), sum_value=buckets.total)
    return requests, queue, rows


def _counter(name: str, meaning: str, *labels: str) -> UnknownMetricFamily:
    """A counter under exactly this name: the library's own kind would end it in ``_total``."""
    return UnknownMetricFamily(name, meaning, labels=(*MODEL, *labels))


def _duration(part: str, meaning: str) -> UnknownMetricFamily:
    return _counter(f"nv_inference_{part}_duration_us", f"Microseconds {meaning}.")


def _histogram(name: str, meaning: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, meaning, labels=MODEL)


def _buckets(buckets: Buckets) -> list[tuple[str, float]]:
    bounds = (*map(floatToGoString, buckets.bounds), "+Inf")
    return list(zip(bounds, buckets.counts, strict=True))
