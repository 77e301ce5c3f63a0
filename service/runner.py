"""What computes the requests of a model version, as the data plane sees it. Computes nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.engine import Watch
from service.statistics import ExecutionTimes

__all__ = ["Computed", "Runner"]


@dataclass(frozen=True, slots=True)
class Computed:
    """What a request was answered with.

    Attributes:
        outputs: those that were wanted, by name.
        times: of the run that they are from.
    """

    outputs: Mapping[str, np.ndarray]
    times: ExecutionTimes


class Runner(Protocol):
    """Computes one model version.

    Attributes:
        watch: who is told whether it can be asked.
    """

    watch: Watch

    def require_room(self) -> None:
        """Whether a request would be taken now: asked before any work is done for it.

        Raises:
            Overloaded: too many wait already.
        """
        ...

    def submit(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        *,
        priority: int = 0,
        timeout_us: int = 0,
    ) -> "asyncio.Future[Computed]":
        """Begin to compute the wanted outputs, on the running event loop.

        Args:
            inputs: an array for each input.
            outputs: names of the wanted ones.
            priority: those with a smaller one go first; 0 goes last.
            timeout_us: microseconds after which nobody waits for it any more; 0 is never.

        Returns:
            Of the answer; whoever does not wait for it any more cancels it. It fails with
            `InferenceRefused` where the model cannot compute these values, `TimeoutExpired` where
            the time was over, `EngineFailed` where what computes is gone, `RequestQuarantined`
            where that did not survive these values, twice, and `bundle.RunFailed` where the model
            failed for another reason.

        Raises:
            Overloaded: too many wait already.
            EngineFailed: what computes is not there.
            RequestQuarantined: what computes did not survive these values before.
        """
        ...

    async def close(self) -> None:
        """Compute no more; whoever waits learns of it."""
        ...
