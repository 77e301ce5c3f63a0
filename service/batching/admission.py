"""How many requests may be inside at once, over all models. Turns away the rest. Orders nothing."""

import math
import time
from typing import Final

from service.errors import Overloaded

__all__ = ["Admission"]

_WEIGHT: Final = 0.05
"""Of the newest gap between two answers in their running mean."""
_LONGEST_S: Final = 60


class Admission:
    """The door. For one thread.

    Args:
        most: requests that may be inside: those that run, and those that wait.

    Attributes:
        inside: how many are.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self.inside = 0
        self._gap_s = 0.0
        self._left_at = 0.0

    def enter(self) -> None:
        """A request comes in.

        Raises:
            Overloaded: as many are inside as may; it says in how many seconds there is probably
                room, by how quickly requests have left lately.
        """
        if self.inside >= self._most:
            retry_after_s = self.retry_after_s
            raise Overloaded(
                f"{self.inside} requests are being computed or waiting, as many as may; try again"
                f" in {retry_after_s} s",
                retry_after_s=retry_after_s,
            )
        if not self.inside:
            self._left_at = time.monotonic()  # nobody was here to leave: that was no gap
        self.inside += 1

    def leave(self) -> None:
        """A request that came in goes, answered or not."""
        now = time.monotonic()
        gap_s = now - self._left_at
        self._gap_s += (gap_s - self._gap_s) * (_WEIGHT if self._gap_s else 1.0)
        self._left_at = now
        self.inside -= 1

    @property
    def retry_after_s(self) -> int:
        """Seconds until those that are inside now have probably left; 1 to 60."""
        return max(1, min(_LONGEST_S, math.ceil(self.inside * self._gap_s)))
