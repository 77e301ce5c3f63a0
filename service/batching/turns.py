"""Who may run now: the processor's cores, shared among all models. First come, first served."""

from collections import deque
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """So many threads at work at the same time, over the runs of all models. For one thread.

    Args:
        count: how many.

    Attributes:
        free: how many more may begin to work now.
    """

    def __init__(self, count: int) -> None:
        self.free = count
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._next: Callable[[], None] | None = None

    @property
    def are_wanted(self) -> bool:
        """Whether somebody waits for one."""
        return bool(self._waiting)

    def take(self, otherwise: Callable[[], None], size: int = 1) -> bool:
        """Take a turn, if there is one and nobody has waited for one; `give` it back.

        Args:
            otherwise: called once when there is one later, unless it waits already. It takes the
                turn then, or leaves it to others.
            size: threads of the run; no more than there are. Whoever waits for many is not
                overtaken by those who want few.

        Returns:
            Whether it was taken.
        """
        if self.free >= size and (not self._waiting or self._next == otherwise):
            self._next = None
            self.free -= size
            return True
        if (otherwise, size) not in self._waiting:
            self._waiting.append((otherwise, size))
        return False

    def give(self, size: int = 1) -> None:
        """Give a turn back, and call whoever may take one now."""
        self.free += size
        while self._waiting and self._waiting[0][1] <= self.free:
            self._next, _ = self._waiting.popleft()
            self._next()
            self._next = None
