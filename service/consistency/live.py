"""What the canary has seen of one model version: counts and worst cases. Compares nothing itself.

Written by the event loop (what was dropped) and the canary's thread (the rest), read by transports.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["Against", "Difference", "Live", "LiveOutput", "LiveSnapshot"]


class Against(StrEnum):
    """What an answer was compared with."""

    SOLO = "solo"
    """The answer as the client got it, with what each row gives alone on the same provider."""
    REFERENCE = "reference"
    """Rows alone on the provider that serves, with the same on the CPU without optimizations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One output of one request, compared.

    Attributes:
        output: its name.
        against: what it was compared with.
        error: the largest absolute difference; infinite where there was nothing to subtract
            (another shape, NaN against a number).
        tolerance: what was allowed, absolute.
        reason: why it is beyond that; empty where it is not.
    """

    output: str
    against: Against
    error: float
    tolerance: float
    reason: str

    @property
    def badness(self) -> tuple[bool, float]:
        """Orders differences: those beyond their tolerance last, and by their share of it."""
        return bool(self.reason), self.error / self.tolerance if self.tolerance else self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOutput:
    """All comparisons of one output.

    Attributes:
        output: its name.
        against: what it was compared with.
        compared: comparisons.
        exceeded: those of them that were beyond the tolerance.
        error_sum: of the errors that are finite.
        worst: the difference that was furthest beyond its tolerance or nearest to it.
    """

    output: str
    against: Against
    compared: int
    exceeded: int
    error_sum: float
    worst: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSnapshot:
    """What the canary has seen of a version since it was loaded.

    Attributes:
        compared: requests.
        dropped: requests that were drawn and not compared, because too much waited already.
        failed: requests that could not be computed a second time.
        failure: why the last of them could not.
        outputs: by output and what it was compared with.
    """

    compared: int = 0
    dropped: int = 0
    failed: int = 0
    failure: str = ""
    outputs: tuple[LiveOutput, ...] = ()


class Live:
    """The counts of one version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = LiveSnapshot()
        self._outputs: dict[tuple[str, Against], LiveOutput] = {}

    @property
    def snapshot(self) -> LiveSnapshot:
        """The counts now."""
        with self._lock:
            return replace(self._counts, outputs=tuple(self._outputs.values()))

    def drop(self) -> None:
        """A request was drawn and is not compared."""
        with self._lock:
            self._counts = replace(self._counts, dropped=self._counts.dropped + 1)

    def fail(self, reason: str) -> bool:
        """A request could not be computed a second time.

        Returns:
            Whether the reason is another than before.
        """
        with self._lock:
            before = self._counts
            self._counts = replace(before, failed=before.failed + 1, failure=reason)
            return reason != before.failure

    def add(self, differences: Sequence[Difference]) -> tuple[Difference, ...]:
        """A request was compared.

        Returns:
            Those of the differences that are beyond their tolerance and worse than any before.
        """
        with self._lock:
            self._counts = replace(self._counts, compared=self._counts.compared + 1)
            return tuple(found for found in differences if self._add(found))

    def _add(self, found: Difference) -> bool:
        key = (found.output, found.against)
        before = self._outputs.get(key)
        finite = found.error if math.isfinite(found.error) else 0.0
        exceeded = int(bool(found.reason))
        if before is None:
            self._outputs[key] = LiveOutput(
                output=found.output,
                against=found.against,
                compared=1,
                exceeded=exceeded,
                error_sum=finite,
                worst=found,
            )
            return bool(exceeded)
        is_worse = found.badness > before.worst.badness
        self._outputs[key] = replace(
            before,
            compared=before.compared + 1,
            exceeded=before.exceeded + exceeded,
            error_sum=before.error_sum + finite,
            worst=found if is_worse else before.worst,
        )
        return is_worse and bool(exceeded)
