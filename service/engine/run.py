"""One run of a model: what it gives, and what can give it. Holds no logic."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bundle import Interrupt

__all__ = ["Engine", "Model", "Pieces", "Run", "Watch"]

Pieces = Sequence[np.ndarray]
"""A tensor in parts along axis 0, or in one part."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave.

    Attributes:
        outputs: those that were wanted, by name.
        begun_ns: when it began, on the clock of `time.perf_counter_ns`.
        ended_ns: when it ended.
    """

    outputs: Mapping[str, np.ndarray]
    begun_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told of a model's process.

    Attributes:
        down: it has ended, and will not be back soon; why.
        up: it is back.
    """

    down: Callable[[str], None] = lambda _: None
    up: Callable[[], None] = lambda: None


class Engine(Protocol):
    """Computes runs of one model version.

    Attributes:
        at_once: runs at the same time.
        ahead: runs that it may have been given beside those, which begin as soon as one of them
            has ended.
        is_up: whether a run would begin now. Where it would not, it waits, or fails.
        pid: of the process that the model has for itself and that is there; None otherwise.
        deaths: how often that process has ended without being told to.
        watch: who is told whether it is.
    """

    at_once: int
    watch: Watch

    @property
    def ahead(self) -> int:
        """See above."""
        ...

    @property
    def deaths(self) -> int:
        """See above."""
        ...

    @property
    def is_up(self) -> bool:
        """See above."""
        ...

    @property
    def pid(self) -> int | None:
        """See above."""
        ...

    def start(self, feeds: Mapping[str, Pieces], outputs: Sequence[str]) -> "asyncio.Future[Run]":
        """Begin a run, on the running event loop.

        Returns:
            Of the run. It fails with a `bundle.BundleError` where the model did, and with
            `EngineFailed` where it could not be asked. To cancel it ends the run, as far as that
            can be done; what it holds is held until it has ended.
        """
        ...

    async def close(self) -> None:
        """Run no more; whoever waits learns of it."""
        ...


class Model(Protocol):
    """What is run: `bundle.OpenModel`, or a test's."""

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        interrupt: Interrupt | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute the wanted outputs, on the calling thread."""
        ...
