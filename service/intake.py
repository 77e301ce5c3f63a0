"""How much of requests may be held at once, over all connections. Reads nothing."""

__all__ = ["Intake"]


class Intake:
    """Bytes of bodies that have come and were not answered. For one thread.

    Args:
        most: that there may be; one connection alone may have more.

    Attributes:
        most: as given.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._held = 0

    def take(self, size: int, *, held: int) -> bool:
        """Whether a connection may hold so many bytes more.

        Args:
            size: of what has come.
            held: by this connection already.
        """
        if self._held + size > self.most and self._held > held:
            return False
        self._held += size
        return True

    def give(self, held: int) -> None:
        """A connection does not hold these any more."""
        self._held -= held
