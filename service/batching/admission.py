"""How many requests may be inside at once, and how large, over all models. Turns away the rest."""

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
        most_bytes: that their inputs may have together; any number if left out.

    Attributes:
        inside: how many are.
        bytes_inside: what their inputs have.
    """

    def __init__(self, *, most: int, most_bytes: float = math.inf) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self.inside = 0
        self.bytes_inside = 0
        self._gap_s = 0.0
        self._left_at = 0.0

    def require_room(self) -> None:
        """Whether a request could come in, if its inputs are small.

        Raises:
            Overloaded: as `enter`.
        """
        if self.inside >= self._most:
            raise self._full(
                f"{self.inside} requests are being computed or waiting, as many as may"
            )

    def enter(self, size: int = 0) -> None:
        """A request comes in.

        Args:
            size: bytes of its inputs. However many they are, it may come in where nobody is.

        Raises:
            Overloaded: as many are inside as may; it says in how many seconds there is probably
                room, by how quickly requests have left lately.
        """
        self.require_room()
        if self.inside and self.bytes_inside + size > self._most_bytes:
            raise self._full(
                f"the inputs that are being computed or wait have {self.bytes_inside} bytes, and"
                f" this request's {size}; {self._most_bytes} may be there together"
            )
        if not self.inside:
            self._left_at = time.monotonic()  # nobody was here to leave: that was no gap
        self.inside += 1
        self.bytes_inside += size

    def leave(self, size: int = 0) -> None:
        """A request that came in goes, answered or not.

        Args:
            size: with which it came in.
        """
        now = time.monotonic()
        gap_s = now - self._left_at
        self._gap_s += (gap_s - self._gap_s) * (_WEIGHT if self._gap_s else 1.0)
        self._left_at = now
        self.inside -= 1
        self.bytes_inside -= size

    @property
    def retry_after_s(self) -> int:
        """Seconds until those that are inside now have probably left; 1 to 60."""
        return max(1, min(_LONGEST_S, math.ceil(self.inside * self._gap_s)))

    def _full(self, why: str) -> Overloaded:
        retry_after_s = self.retry_after_s
        return Overloaded(f"{why}; try again in {retry_after_s} s", retry_after_s=retry_after_s)
