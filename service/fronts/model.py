"""What a front knows of a model that answers, and has in the place of its recorder and runner."""

import time
from dataclasses import dataclass, field
from typing import Final

from service.codec import Outlines
from service.fronts.line import Line
from service.fronts.messages import ENDED, Elsewhere
from service.signature import Signature

__all__ = ["NOT_ASKED", "FrontModel", "FrontPassage", "FrontRecorder", "FrontRunner"]

NOT_ASKED: Final = 0
"""The number of no question."""


class FrontPassage:
    """One request on its way, which the main process counts.

    Args:
        line: to it.

    Attributes:
        began_ns: when the request had come.
        number: of the question; 0 before it was asked.
    """

    __slots__ = ("_line", "began_ns", "number")

    def __init__(self, line: Line) -> None:
        self._line = line
        self.began_ns = time.perf_counter_ns()
        self.number = NOT_ASKED

    def end(self, error: type[BaseException] | None = None) -> None:
        """The request is over; nobody waits for its answer any more."""
        if self.number != NOT_ASKED and error is not Elsewhere:
            self._line.send((ENDED, self.number, error))


class FrontRecorder:
    """Begins passages.

    Args:
        line: to the main process.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    def begin(self) -> FrontPassage:
        """A request has come."""
        return FrontPassage(self._line)


class FrontRunner:
    """Stands for what computes, which is in the main process."""

    def require_room(self) -> None:
        """Whether there is room for a request, only the main process knows: it refuses it."""


@dataclass(frozen=True, slots=True)
class FrontModel:
    """What a front knows of a model version that answers.

    Attributes:
        token: of the main process's model; one that replaces it has another.
        name: of the model.
        version: of the model.
        asked: the version that a request for it names, if it names one.
        signature: what it takes and gives.
        recorder: begins the passage of a request.
        runner: stands for what computes.
        outlines: of requests for it that were seen.
    """

    token: int
    name: str
    version: int
    asked: int | None
    signature: Signature
    recorder: FrontRecorder
    runner: FrontRunner
    outlines: Outlines = field(default_factory=Outlines, compare=False)
