"""A request as its transport describes it for its trace. Decides nothing."""

from collections.abc import Mapping, Sequence
from typing import Protocol

__all__ = ["Attributes", "Incoming", "trace_headers"]

Attributes = Mapping[str, str | int]
"""Of a span, by the names of OpenTelemetry's semantic conventions."""


class Incoming(Protocol):
    """A request that has just come. It is asked only for what its trace needs."""

    @property
    def name(self) -> str:
        """Of its span, as far as it is known; it may be told better at the end."""
        ...

    def attributes(self) -> Attributes:
        """Of its span, each bounded."""
        ...

    def trace_headers(self) -> Mapping[str, Sequence[str]]:
        """As the function of that name gives them."""
        ...


def trace_headers(
    traceparent: Sequence[str], tracestate: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    """The headers of W3C Trace Context, by name; none where the trace has to be begun anew.

    Source: https://www.w3.org/TR/trace-context/, section 3.2: more than one ``traceparent`` is
    none. Whether it is well formed is seen only where it is needed.
    """
    if len(traceparent) != 1:
        return {}
    return {"traceparent": traceparent, "tracestate": tracestate}
