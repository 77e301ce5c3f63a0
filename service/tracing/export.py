"""OpenTelemetry's SDK: made, and flushed at the end. Knows no requests; loaded once tracing is on.

The environment's ``OTEL_*`` variables hold, as far as the SDK knows them and no setting of this
service is about the same.
"""

from typing import Final
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from service.machine import normserve_version

__all__ = ["exporting", "make_provider"]

_PATH: Final = "/v1/traces"


def exporting(endpoint: str) -> SpanProcessor:
    """What sends spans to a collector, from a thread of its own.

    A request never waits for it: spans that come faster than they go are dropped.

    Args:
        endpoint: the collector's URL; the path of traces is added if it is not there.
    """
    url = urlsplit(endpoint)
    path = url.path.rstrip("/")
    path = path if path.endswith(_PATH) else path + _PATH
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=urlunsplit(url._replace(path=path))))


def make_provider(processor: SpanProcessor, *, ratio: float | None) -> TracerProvider:
    """What makes spans.

    Args:
        processor: takes them when they end.
        ratio: of requests without a trace of their own that are traced; ``None`` leaves it to
            ``OTEL_TRACES_SAMPLER``, which is all if it is not there either.
    """
    ours = {"service.name": "normserve", "service.version": normserve_version()}
    resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
    sampler = None if ratio is None else ParentBasedTraceIdRatio(ratio)
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider
