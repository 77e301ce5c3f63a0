"""The log: structured lines on standard error, for people or as JSON. Decides no events."""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
import structlog

from service.log_settings import Level, LogControl, LogSettings
from service.tracing.current import current_ids

__all__ = ["add_trace", "configure_logging", "log_soon"]

_log = structlog.stdlib.get_logger(__name__)

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
    logger = structlog.WriteLogger(sys.stderr)
    is_json = log_format == "json"
    final: list[structlog.typing.Processor]
    final = [_TRACEBACKS, _json_line] if is_json else [_escape, _console_line()]
    written = _Written(final, logger)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[written, *shared, *final],
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


def log_soon(event: structlog.typing.EventDict, *, has_context: bool) -> None:
    """Log what happened, at the level "info", together with what else happens in this turn.

    Putting a line together as structlog does costs as much as a small request; many that are put
    together and written at once, when the event loop has gone round, cost a fraction of it.

    Args:
        event: ``event`` and what else is known. It is used up.
        has_context: whether the context may say more; to look costs as much again.
    """
    first, *_ = structlog.get_config()["processors"]
    if isinstance(first, _Written):
        if has_context:
            event = {**structlog.contextvars.get_contextvars(), **current_ids(), **event}
        first.write_soon(event)
    else:  # the log is somebody else's
        _log.info(**event)


class _Written(logging.Filter):
    """Lets through what the settings say; levels can be switched each by itself.

    The first of structlog's chain of processors; for the standard library, a filter.

    Args:
        final: the processors that make a line.
        logger: writes it.
    """

    def __init__(
        self, final: Sequence[structlog.typing.Processor], logger: structlog.WriteLogger
    ) -> None:
        super().__init__()
        self._final = final
        self._logger = logger
        self._waiting: list[structlog.typing.EventDict] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def write_soon(self, event: structlog.typing.EventDict) -> None:
        """Write a line when the event loop has gone round; at once where none runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._waiting.append(event)
            self._write_waiting()
            return
        if not self._waiting or self._loop is not loop:  # of one that has ended, some may be left
            self._loop = loop
            loop.call_soon(self._write_waiting)
        self._waiting.append(event)

    def _write_waiting(self) -> None:
        events, self._waiting = self._waiting, []
        if not events or not self._are_written[logging.INFO]:
            return
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        lines = []
        for event in events:
            line: Any = event
            line["level"], line["timestamp"] = "info", now
            for processor in self._final:
                line = processor(self._logger, "info", line)
            lines.append(line)
        self._logger.msg("\n".join(lines))  # one call of the system

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

    def __call__(
        self, _: object, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Drop what is not written."""
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
        fields = [f"{name}={_told(event[name])}" for name in sorted(event)]
        return (head + " ".join(fields)).rstrip()

    return render


def _told(value: object) -> str:
    return value if isinstance(value, str) and _SEPARATING.isdisjoint(value) else repr(value)
