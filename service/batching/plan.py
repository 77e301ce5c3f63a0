"""How the requests of a model share runs. A value; nothing is decided here."""

from dataclasses import dataclass

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a batcher keeps to.

    Attributes:
        delay_s: that a request may wait for others to share its run, in seconds. 0 is greedy: what
            waits goes as soon as something may run.
        preferred: numbers of rows that are worth waiting for, and stopping at; rising.
    """

    delay_s: float = 0.0
    preferred: tuple[int, ...] = ()

    def size(self, waiting: int, most: int) -> int:
        """How many rows to run together, of those that wait."""
        fitting = [size for size in self.preferred if size <= min(waiting, most)]
        return fitting[-1] if fitting else most

    def full(self, most: int) -> int:
        """The rows of a run that is as good as it gets."""
        return min(most, self.preferred[-1]) if self.preferred else most
