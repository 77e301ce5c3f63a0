"""What the server and a worker say to each other. Tensors are not in it: they lie in an `Area`.

They go over lines (`multiprocessing.connection.Connection`) that only the two ends have. Those of
every run are packed as plain values: classes and enumerations take ten times as long.
"""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from bundle import AS_IT_COMES, BundleError, ProviderPolicy, SessionTuning
from bundle.opener import Placement
from bundle.tensors import Datatype, TensorSpec
from service.engine.area import Laid

__all__ = [
    "End",
    "Failed",
    "Open",
    "Opened",
    "Ran",
    "Start",
    "unpack_answer",
]


@dataclass(frozen=True, slots=True)
class Open:
    """Open a model.

    Attributes:
        path: the ONNX file.
        policy: where it runs.
        threads: of one run.
        memory_bytes: that opening it may take; 0 is any amount.
        lanes: runs at the same time.
        tuning: of the session.
        spinning: whether its threads do so while they wait.
    """

    path: Path
    policy: ProviderPolicy
    threads: int
    memory_bytes: int
    lanes: int = 1
    tuning: SessionTuning = AS_IT_COMES
    spinning: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """It is open. The attributes are those of `bundle.OpenModel`."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provider: str
    placement: Placement
    lowered: tuple[str, ...]


class Start(NamedTuple):
    """Run the model with the tensors that lie in an area.

    Attributes:
        number: of the run, rising.
        area: the number of the area, which is the run's until it is answered.
        inputs: where they lie.
        outputs: that are wanted.
    """

    number: int
    area: int
    inputs: tuple[Laid, ...]
    outputs: tuple[str, ...]

    def pack(self) -> bytes:
        """As it is sent."""
        return pickle.dumps((self.number, self.area, _plain(self.inputs), self.outputs))

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """As it was sent."""
        number, area, inputs, outputs = pickle.loads(content)  # noqa: S301  # our own other end
        return cls(number, area, _laid(inputs), outputs)


class Ran(NamedTuple):
    """It ran. The times are on the clock of `time.perf_counter_ns`, which all processes share."""

    area: int
    outputs: tuple[Laid, ...]
    begun_ns: int
    ended_ns: int

    def pack(self) -> bytes:
        """As it is sent."""
        return pickle.dumps((self.area, _plain(self.outputs), self.begun_ns, self.ended_ns))


class Failed(NamedTuple):
    """It could not be done.

    Attributes:
        error: what was raised; only classes of `bundle.errors` are sent as themselves.
        area: of the run that it is about.
    """

    error: BundleError
    area: int = 0

    def pack(self) -> bytes:
        """As it is sent."""
        return pickle.dumps((self.area, self.error))


class End(NamedTuple):
    """End a run, which may be over, or may not have been begun."""

    number: int


def unpack_answer(content: bytes) -> Ran | Failed:
    """What a worker has sent after a run."""
    area, *answer = pickle.loads(content)  # noqa: S301  # of our own other end
    if len(answer) == 1:
        return Failed(answer[0], area)
    outputs, begun_ns, ended_ns = answer
    return Ran(area, _laid(outputs), begun_ns, ended_ns)


def _plain(tensors: Iterable[Laid]) -> tuple[tuple[object, ...], ...]:
    return tuple(
        (name, datatype.value, shape, start, size) for name, datatype, shape, start, size in tensors
    )


def _laid(tensors: Iterable[tuple[str, str, tuple[int, ...], int, int]]) -> tuple[Laid, ...]:
    return tuple(
        Laid(name, Datatype(datatype), shape, start, size)
        for name, datatype, shape, start, size in tensors
    )
