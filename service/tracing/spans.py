"""The spans of one request, by OpenTelemetry's API. Exports nothing; loaded once tracing is on.

Names and attributes of the spans of HTTP and gRPC are the transports' own. Beside what the
conventions have, a span tells the model, the version and the request's id; what a client chose of
it is bounded. Whether a request is traced is decided once it is known which model it is for, so
its span is begun late, and dated back.
"""

import time
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.tracing.current import Execution, Parts
from service.tracing.incoming import Attributes, Incoming
from service.tracing.settings import TraceSettings

__all__ = ["SpanTrace"]

_W3C: Final = TraceContextTextMapPropagator()
_MESSAGE_CHARACTERS: Final = 512


class SpanTrace:
    """The server span of one request, and those of its parts; see `RequestTrace`.

    Args:
        incoming: the request, which begins now.
        tracer: makes the spans.
        settings: whether it does.
    """

    def __init__(self, incoming: Incoming, *, tracer: Tracer, settings: TraceSettings) -> None:
        self._incoming = incoming
        self._tracer = tracer
        self._settings = settings
        self._began_ns = time.time_ns()
        # when the clock was 0 that the parts are told by, so that they fit into their request
        self._zero_ns = self._began_ns - time.perf_counter_ns()
        self._span: Span | None = None
        self._is_decided = False
        self._error: BaseException | None = None
        self._ids: Mapping[str, str] = {}

    @property
    def ids(self) -> Mapping[str, str]:
        """``trace_id`` and ``span_id`` in hexadecimal.

        A request that is not traced itself, but belongs to a trace, has the former.
        """
        return self._ids

    def asking(self, model: str) -> None:
        """The request is an inference with a model of that name, which may not exist."""
        if not self._is_decided:
            self._decide(model)

    def answering(self, *, model: str, version: int) -> None:
        """This version of this model answers it."""
        if self._span is not None:
            self._span.set_attributes(
                {"normserve.model.name": model, "normserve.model.version": version}
            )

    def failed(self, error: BaseException) -> None:
        """The request is not answered, for this reason."""
        self._error = error

    def passed(self, parts: Parts) -> None:
        """The inference is over."""
        if self._span is None:
            return
        within = set_span_in_context(self._span)
        execution = parts.execution
        if execution is None:
            was_decoded = parts.decoded_ns > parts.began_ns
            self._part(
                "decode",
                parts.began_ns,
                parts.decoded_ns if was_decoded else parts.ended_ns,
                within=within,
            )
            return
        started_ns = parts.decoded_ns + execution.queue_ns
        self._part("decode", parts.began_ns, parts.decoded_ns, within=within)
        self._part("queue", parts.decoded_ns, started_ns, within=within)
        self._run(execution, started_ns, parts.computed_ns, within=within)
        self._part("encode", parts.computed_ns, parts.ended_ns, within=within)

    def end(self, *, name: str, attributes: Attributes, error_type: str | None) -> None:
        """The request is over.

        Args:
            name: of the span.
            attributes: known only now.
            error_type: what class of error it is, if the server is to blame for it.
        """
        if not self._is_decided:
            self._decide(None)
        span = self._span
        if span is None:
            return
        span.update_name(name)
        span.set_attributes(attributes)
        if self._error is not None:
            kind = type(self._error)  # the traceback of a defect is in the log
            told = {
                "exception.type": f"{kind.__module__}.{kind.__qualname__}",
                "exception.message": str(self._error)[:_MESSAGE_CHARACTERS],
            }
            span.add_event("exception", told)
        if error_type is not None:
            span.set_attribute("error.type", error_type)
            span.set_status(StatusCode.ERROR)
        span.end()

    def _decide(self, model: str | None) -> None:
        """Begin the span, or not.

        A request that belongs to a trace is traced if that one is. For others the settings choose
        among inferences; other requests are few.
        """
        self._is_decided = True
        settings = self._settings
        if not settings.is_on(model):
            return
        headers = self._incoming.trace_headers()
        context = _W3C.extract(headers, Context()) if headers else Context()
        parent = get_current_span(context).get_span_context()
        if parent.is_valid:
            self._ids = {"trace_id": format_trace_id(parent.trace_id)}
        elif model is not None and not settings.is_due(model):
            return
        span = self._tracer.start_span(
            self._incoming.name,
            context,
            kind=SpanKind.SERVER,
            attributes=self._incoming.attributes(),
            start_time=self._began_ns,
        )
        if not span.is_recording():
            return
        if model is not None and not parent.is_valid:
            settings.use_up(model)
        self._span = span
        own = span.get_span_context()
        self._ids = {
            "trace_id": format_trace_id(own.trace_id),
            "span_id": format_span_id(own.span_id),
        }

    def _run(
        self, execution: Execution, started_ns: int, computed_ns: int, *, within: Context
    ) -> None:
        """The run, inside of the batch where others shared it."""
        if execution.batch_size is not None:
            shared = {
                "normserve.batch.size": execution.batch_size,
                "normserve.batch.first_row": execution.first_row,
            }
            within = self._part("batch", started_ns, computed_ns, within=within, attributes=shared)
        self._part("run", started_ns, started_ns + execution.run_ns, within=within)

    def _part(
        self,
        name: str,
        began_ns: int,
        ended_ns: int,
        *,
        within: Context,
        attributes: Attributes | None = None,
    ) -> Context:
        """A span that is over already; gives the context of what is inside of it."""
        began_ns, ended_ns = self._zero_ns + began_ns, self._zero_ns + ended_ns
        span = self._tracer.start_span(name, within, attributes=attributes, start_time=began_ns)
        span.end(ended_ns)
        return set_span_in_context(span, within)
