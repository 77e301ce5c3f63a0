"""One way to run a model: what is tuned. Measures nothing."""

from dataclasses import dataclass

from bundle import SessionTuning

__all__ = ["Setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a model is run.

    Attributes:
        threads: of one run.
        instances: runs at the same time.
        rows: of a run that requests share; 1 where they share none.
        tuning: of the session.
    """

    threads: int
    instances: int
    rows: int
    tuning: SessionTuning

    @property
    def session(self) -> tuple[int, int, SessionTuning]:
        """What a process is started for; runs of any number of rows go there."""
        return self.threads, self.instances, self.tuning

    def __str__(self) -> str:
        said = [
            f"{self.threads} {'thread' if self.threads == 1 else 'threads'}",
            f"{self.instances} at once",
            f"{self.rows} {'row' if self.rows == 1 else 'rows'}",
        ]
        if str(self.tuning):
            said.append(str(self.tuning))
        return ", ".join(said)
