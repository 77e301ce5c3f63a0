"""The trace of the request that is being answered, for whoever has something to add. Makes none.

Where the request is not traced, everything here does nothing and costs next to nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = [
    "Execution",
    "Parts",
    "RequestTrace",
    "answering",
    "asking",
    "current_ids",
    "current_trace",
    "failed",
    "in_trace",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The run of a model that an inference was computed in.

    Attributes:
        queue_ns: that the inference waited for it.
        run_ns: that it took.
        batch_size: rows of it, if other inferences shared it.
        first_row: of it that is this inference's.
    """

    queue_ns: int
    run_ns: int
    batch_size: int | None = None
    first_row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the time of one inference was spent on, by the clock of `time.perf_counter_ns`.

    Attributes:
        began_ns: when it began to be decoded.
        decoded_ns: when it was; the same where it was not.
        computed_ns: when the outputs were there.
        ended_ns: when they were encoded, or what was being done failed.
        execution: how it was computed; ``None`` where it was not.
    """

    began_ns: int
    decoded_ns: int
    computed_ns: int
    ended_ns: int
    execution: Execution | None


class RequestTrace(Protocol):
    """What is told of one request while it is answered."""

    @property
    def ids(self) -> Mapping[str, str]:
        """``trace_id`` and ``span_id`` in hexadecimal, as far as the request has them."""
        ...

    def asking(self, model: str) -> None:
        """The request is an inference with a model of that name, which may not exist."""
        ...

    def answering(self, *, model: str, version: int) -> None:
        """This version of this model answers it."""
        ...

    def passed(self, parts: Parts) -> None:
        """The inference is over."""
        ...

    def failed(self, error: BaseException) -> None:
        """The request is not answered, for this reason."""
        ...


_current: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)
_NO_IDS: Final[Mapping[str, str]] = {}


@contextmanager
def in_trace(trace: RequestTrace | None) -> Iterator[None]:
    """What is told in here is told of this request."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def current_trace() -> RequestTrace | None:
    """The trace of the request that is being answered; ``None`` where it can have none."""
    return _current.get()


def current_ids() -> Mapping[str, str]:
    """``trace_id`` and ``span_id`` of that request, for the log."""
    trace = _current.get()
    return _NO_IDS if trace is None else trace.ids


def asking(model: str) -> None:
    """The request is an inference with a model of that name, which may not exist."""
    trace = _current.get()
    if trace is not None:
        trace.asking(model)


def answering(*, model: str, version: int) -> None:
    """This version of this model answers the request."""
    trace = _current.get()
    if trace is not None:
        trace.answering(model=model, version=version)


def failed(error: BaseException) -> None:
    """The request is not answered, for this reason."""
    trace = _current.get()
    if trace is not None:
        trace.failed(error)
