"""The log: structured lines on standard error, for people or as JSON. Decides no events."""

import logging
import sys
from typing import Literal

import structlog

from service.log_settings import Level, LogControl, LogSettings
from service.tracing.current import current_ids

__all__ = ["add_trace", "configure_logging"]


# without the values of variables: tensors are among them
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(*, log_format: Literal["console", "json"], level: Level) -> LogControl:
    """Send structlog's and the standard library's records through one formatter.

    Side effects: replaces the handlers of the root logger, and structlog's configuration.

    Args:
        log_format: "console" for people, "json" for one object a line.
        level: the least important level that is written.

    Returns:
        What changes the levels afterwards.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=[]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    final: list[structlog.typing.Processor]
    if log_format == "json":
        final = [_TRACEBACKS, structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        final = [_escape, console]
    handler = logging.StreamHandler(sys.stderr)
    written = _Written()
    handler.addFilter(written)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.basicConfig(handlers=[handler], force=True)
    return LogControl(LogSettings.from_level(level), apply=written.follow)


class _Written(logging.Filter):
    """Lets through what the settings say; levels can be switched each by itself."""

    def follow(self, settings: LogSettings) -> None:
        """Let these settings hold from now on."""
        self._are_written = {
            logging.CRITICAL: True,
            logging.ERROR: settings.log_error,
            logging.WARNING: settings.log_warning,
            logging.INFO: settings.log_info,
            logging.DEBUG: settings.log_verbose_level > 0,
        }
        # what nobody will see is not even put together
        lowest = min(level for level, is_written in self._are_written.items() if is_written)
        logging.getLogger().setLevel(lowest)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written, by the named level that its own reaches."""
        reached = [level for level in self._are_written if record.levelno >= level]
        return self._are_written[max(reached, default=logging.DEBUG)]


def add_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the ids of the request's trace; for structlog's chain of processors."""
    event.update(current_ids())
    return event


def _escape(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep what clients chose from breaking a line or steering a terminal; JSON escapes it."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return event
