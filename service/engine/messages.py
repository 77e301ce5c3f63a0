"""What the server and a worker say to each other. Tensors are not in it: they lie in an `Area`.

What is said once goes over a line (`multiprocessing.connection.Connection`) that only the two ends
have. What is said of a run is left in its area, behind its tensors, packed as plain values: classes
and enumerations take ten times as long. A `Packet` says where. Packets are small, and go over a
socket that keeps them whole, so that several threads may wait on it.
"""

import pickle
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from bundle import AS_IT_COMES, BundleError, ProviderPolicy, SessionTuning
from bundle.opener import Placement
from bundle.tensors import Datatype, TensorSpec
from service.engine.area import Laid

__all__ = [
    "PACKET_BYTES",
    "End",
    "Failed",
    "Open",
    "Opened",
    "Packet",
    "Ran",
    "Start",
    "unpack_answer",
]

_PACKET: Final = struct.Struct("<QQQQ")
PACKET_BYTES: Final = _PACKET.size
"""That each `Packet` has."""


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


class Packet(NamedTuple):
    """Something was left in an area, which was the other end's until now.

    Attributes:
        run: its number, rising.
        area: the area's number; it is the run's until that is answered.
        start: of the note, in bytes.
        size: of the note, in bytes.
    """

    run: int
    area: int
    start: int
    size: int

    def pack(self) -> bytes:
        """As it is sent."""
        return _PACKET.pack(*self)

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """As it was sent.

        Raises:
            EOFError: nothing was: the other end is gone.
        """
        if not content:
            raise EOFError
        return cls(*_PACKET.unpack(content))


class Start(NamedTuple):
    """Run the model.

    Attributes:
        inputs: where they lie.
        outputs: that are wanted.
    """

    inputs: tuple[Laid, ...]
    outputs: tuple[str, ...]

    def pack(self) -> bytes:
        """As it is sent."""
        return pickle.dumps((_plain(self.inputs), self.outputs))

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """As it was sent."""
        inputs, outputs = pickle.loads(content)  # noqa: S301  # of our own other end
        return cls(_laid(inputs), outputs)


class Ran(NamedTuple):
    """It ran. The times are on the clock of `time.perf_counter_ns`, which all processes share."""

    outputs: tuple[Laid, ...]
    begun_ns: int
    ended_ns: int

    def pack(self) -> bytes:
        """As it is sent."""
        return pickle.dumps((_plain(self.outputs), self.begun_ns, self.ended_ns))


class Failed(NamedTuple):
    """It could not be done.

    Attributes:
        error: what was raised; only classes of `bundle.errors` are sent as themselves.
    """

    error: BundleError

    def pack(self) -> bytes:
        """As it is sent."""
        return pickle.dumps(self.error)


class End(NamedTuple):
    """End a run, which may be over, or may not have been begun."""

    number: int


def unpack_answer(content: bytes) -> Ran | Failed:
    """What a worker has sent after a run."""
    answer = pickle.loads(content)  # noqa: S301  # of our own other end
    if isinstance(answer, BundleError):
        return Failed(answer)
    outputs, begun_ns, ended_ns = answer
    return Ran(_laid(outputs), begun_ns, ended_ns)


def _plain(tensors: Iterable[Laid]) -> tuple[tuple[object, ...], ...]:
    return tuple(
        (name, datatype.value, shape, start, size) for name, datatype, shape, start, size in tensors
    )


def _laid(tensors: Iterable[tuple[str, str, tuple[int, ...], int, int]]) -> tuple[Laid, ...]:
    return tuple(
        Laid(name, Datatype(datatype), shape, start, size)
        for name, datatype, shape, start, size in tensors
    )
