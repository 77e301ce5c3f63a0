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
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from service.registry import Registry, ServedModel, State

__all__ = ["metrics_of"]

_US = 1000  # nanoseconds
_MODEL = ("model", "version")
_OUTPUT = (*_MODEL, "output", "against")


def metrics_of(registry: Registry) -> CollectorRegistry:
    """The metrics of a registry of models."""
    collectors = CollectorRegistry()
    collectors.register(_Inference(registry))
    collectors.register(_Consistency(registry))
    return collectors


class _Inference(Collector):
    """Requests and the time they took, under Triton's names, so that its dashboards work.

    Source: https://github.com/triton-inference-server/server, docs/user_guide/metrics.md.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Every metric, with a sample for each READY version."""
        success = _counter("nv_inference_request_success", "Requests that were answered.")
        failure = _counter(
            "nv_inference_request_failure", "Requests that were not answered.", "reason"
        )
        count = _counter("nv_inference_count", "Inferences that were computed.")
        executions = _counter("nv_inference_exec_count", "Runs of the model.")
        whole = _counter("nv_inference_request_duration_us", "Microseconds that requests took.")
        queue = _counter("nv_inference_queue_duration_us", "Microseconds of it in the queue.")
        compute = _counter(
            "nv_inference_compute_infer_duration_us", "Microseconds of it in the model."
        )
        pending = GaugeMetricFamily(
            "nv_inference_pending_request_count", "Requests that wait or run.", labels=_MODEL
        )
        for model in _ready(self._registry):
            labels = (model.name, str(model.version))
            seen = model.recorder.statistics
            success.add_metric(labels, seen.success.count)
            failure.add_metric((*labels, "OTHER"), seen.fail.count)
            count.add_metric(labels, seen.inference_count)
            executions.add_metric(labels, seen.execution_count)
            whole.add_metric(labels, seen.success.ns / _US)
            queue.add_metric(labels, seen.queue.ns / _US)
            compute.add_metric(labels, seen.compute.ns / _US)
            pending.add_metric(labels, model.recorder.pending)
        return (success, failure, count, executions, whole, queue, compute, pending)


def _counter(name: str, meaning: str, *labels: str) -> UnknownMetricFamily:
    """A counter under exactly this name: the library's own kind would end it in ``_total``."""
    return UnknownMetricFamily(name, meaning, labels=(*_MODEL, *labels))


def _ready(registry: Registry) -> Iterator[ServedModel]:
    for entry in registry.entries():
        if entry.state is State.READY and entry.model is not None:
            yield entry.model


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
        for model in _ready(self._registry):
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
