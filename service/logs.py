"""The log: structured lines on standard error, for people or as JSON. Decides no events."""

import json
import logging
import sys
from typing import Final, Literal

import orjson
import structlog

from service.log_settings import Level, LogControl, LogSettings
from service.tracing.current import current_ids

__all__ = ["add_trace", "configure_logging"]


# without the values of variables: tensors are among them
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_LONG: Final = frozenset({"exc_info", "exception", "logger", "logger_name", "stack"})
"""What structlog's renderer has a place of its own for."""
_NUMBERS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""The levels of a logger's methods."""
_SEPARATING: Final = frozenset(" \t=\r\n\"'")


def configure_logging(*, log_format: Literal["console", "json"], level: Level) -> LogControl:
    """Send structlog's and the standard library's records to standard error, in one form.

    Those of structlog, a line a request among them, do not pass through the standard library,
    which would take most of the time that a line takes.

    Side effects: replaces the handlers of the root logger, and structlog's configuration.

    Args:
        log_format: "console" for people, "json" for one object a line.
        level: the least important level that is written.

    Returns:
        What changes the levels afterwards.
    """
    written = _Written()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    logger = structlog.WriteLogger(sys.stderr)
    is_json = log_format == "json"
    final: list[structlog.typing.Processor]
    final = [_TRACEBACKS, _json_line] if is_json else [_escape, _console_line()]
    structlog.configure(
        processors=[written.drop, *shared, *final],
        logger_factory=lambda *_: logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(written)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=[])],
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
        return self._is_written(record.levelno)

    def drop(
        self, _: object, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Drop what is not written; for structlog's chain of processors."""
        if not self._is_written(_NUMBERS[method]):
            raise structlog.DropEvent
        return event

    def _is_written(self, number: int) -> bool:
        is_written = self._are_written.get(number)
        if is_written is None:
            reached = [level for level in self._are_written if number >= level]
            is_written = self._are_written[max(reached, default=logging.DEBUG)]
        return is_written


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


def _json_line(_: object, __: str, event: structlog.typing.EventDict) -> str:
    """One JSON object, in ASCII."""
    try:
        line = orjson.dumps(event, default=repr)
    except orjson.JSONEncodeError:  # half of a surrogate pair
        line = None
    if line is not None and line.isascii():
        return line.decode()
    return json.dumps(event, default=repr)


def _console_line() -> structlog.typing.Processor:
    """As structlog's renderer has it; where there are no colours, quicker.

    Source: https://www.structlog.org/en/stable/console-output.html
    """
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if sys.stderr.isatty():
        return renderer

    def render(logger: object, method: str, event: structlog.typing.EventDict) -> str:
        if not _LONG.isdisjoint(event):
            return str(renderer(logger, method, event))
        head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')!s:<30} "
        return (head + " ".join(f"{name}={_told(event[name])}" for name in sorted(event))).rstrip()

    return render


def _told(value: object) -> str:
    return value if isinstance(value, str) and _SEPARATING.isdisjoint(value) else repr(value)
