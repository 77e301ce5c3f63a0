"""Traces of requests: which, of what, and where they go. Knows no transport.

`Tracing` is the whole; `service.tracing.current` is for whoever has something to add to the trace
of the request at hand; `TraceSettings` are what clients may change. Only ``spans`` and ``export``
import OpenTelemetry, which is an extra, and they are imported when tracing starts.
"""

from service.tracing.incoming import Attributes, Incoming, trace_headers
from service.tracing.settings import TraceSettings
from service.tracing.tracing import Tracing

__all__ = ["Attributes", "Incoming", "TraceSettings", "Tracing", "trace_headers"]
