"""Tracing as a whole: off or on, started, asked for a trace of each request, stopped."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Self

import structlog

from service.errors import SettingsInvalid
from service.machine import normserve_version
from service.tracing.incoming import Incoming
from service.tracing.settings import TraceSettings

if TYPE_CHECKING:  # of an extra, imported when tracing starts
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Tracer

    from service.tracing.spans import SpanTrace

__all__ = ["Tracing"]

_FLUSH_S: Final = 5.0
"""That the last spans may take to their collector: the requests' own time is over by then."""

_log = structlog.stdlib.get_logger(__name__)


class Tracing:
    """Traces of requests. Nothing of OpenTelemetry is imported unless it is on.

    Args:
        make_processor: makes what takes the spans when they end; ``None`` is off.
        ratio: of requests without a trace of their own that are traced; ``None`` leaves it to
            ``OTEL_TRACES_SAMPLER``.

    Attributes:
        settings: which requests are traced.
    """

    def __init__(
        self,
        make_processor: "Callable[[], SpanProcessor] | None" = None,
        *,
        ratio: float | None = None,
    ) -> None:
        self.settings = TraceSettings(is_possible=make_processor is not None)
        self._make_processor = make_processor
        self._ratio = ratio
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._make_trace: Callable[..., SpanTrace]

    @classmethod
    def to(cls, endpoint: str, *, ratio: float | None) -> Self:
        """Traces that go to a collector, by OTLP over HTTP; to none if the endpoint is empty."""
        if not endpoint:
            return cls()

        def make() -> "SpanProcessor":
            from service.tracing.export import exporting  # noqa: PLC0415  # of an extra

            return exporting(endpoint)

        return cls(make, ratio=ratio)

    def start(self) -> None:
        """Make ready; does nothing where tracing is off.

        Side effects: starts the thread that sends spans.

        Raises:
            SettingsInvalid: OpenTelemetry is not installed.
        """
        if self._make_processor is None:
            return
        try:
            from service.tracing.export import make_provider  # noqa: PLC0415  # of an extra
            from service.tracing.spans import SpanTrace  # noqa: PLC0415  # of an extra

            self._provider = make_provider(self._make_processor(), ratio=self._ratio)
        except ModuleNotFoundError as err:
            raise SettingsInvalid(
                f"otel_endpoint is set and the package {err.name!r} is not installed; install"
                " normserve[otel], or leave the setting out"
            ) from err
        self._make_trace = SpanTrace
        self._tracer = self._provider.get_tracer("normserve", normserve_version())

    @property
    def is_on(self) -> bool:
        """Whether requests are traced, as far as the settings say so."""
        return self._tracer is not None

    def open(self, incoming: Incoming) -> "SpanTrace | None":
        """The trace of a request that has just come, ``None`` where tracing is off.

        Whoever asks tells it when the request is over.
        """
        if self._tracer is None:
            return None
        return self._make_trace(incoming, tracer=self._tracer, settings=self.settings)

    async def stop(self, *, grace_s: float) -> None:
        """Send what has not been sent, and give up what cannot be.

        Args:
            grace_s: that this may take at most.
        """
        provider, self._tracer, self._provider = self._provider, None, None
        if provider is None:
            return
        flushed: Future[None] = Future()

        def flush() -> None:
            try:
                provider.shutdown()
            finally:
                flushed.set_result(None)

        # not a thread of a pool: the process would wait for that when it ends
        threading.Thread(target=flush, name="trace-flush", daemon=True).start()
        try:
            async with asyncio.timeout(min(grace_s, _FLUSH_S)):
                await asyncio.wrap_future(flushed)
        except TimeoutError:
            _log.warning("the last traces could not be sent in time")
