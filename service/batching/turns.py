"""Who may run now: the processor's cores, shared among all models. First come, first served."""

from collections import deque
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """So many runs at the same time, over all models. For one thread.

    Args:
        count: how many.

    Attributes:
        free: how many more may begin now.
    """

    def __init__(self, count: int) -> None:
        self.free = count
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, otherwise: Callable[[], None]) -> bool:
        """Take a turn, if there is one; `give` it back.

        Args:
            otherwise: called once when there is one later, unless it waits already. It may come
                too late: it has to take the turn as everybody else.

        Returns:
            Whether it was taken.
        """
        if self.free:
            self.free -= 1
            return True
        if otherwise not in self._waiting:
            self._waiting.append(otherwise)
        return False

    def give(self) -> None:
        """Give a turn back."""
        self.free += 1
        if self._waiting:
            self._waiting.popleft()()
