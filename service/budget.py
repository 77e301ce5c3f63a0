"""How many runs go on at the same time, on how many threads each. Starts neither."""

from dataclasses import dataclass
from typing import Self

import structlog

from service.cores import Cores, usable_cores
from service.settings import Settings

__all__ = ["Budget"]

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The cores, shared among the runs of all models.

    Attributes:
        cores: that may be used.
        runs: at the same time, over all models.
        threads: of one run, where its model says nothing else.
        spinning: whether these keep their cores busy while they wait for each other.
    """

    cores: Cores
    runs: int
    threads: int
    spinning: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say; where they say nothing, what this process may use.

        Whichever of runs and threads is given, the other one is what is left for it; where neither
        is, there is a run of one thread for each core, which answers most requests.
        """
        given = settings.cores
        cores = usable_cores() if given is None else Cores(given, "setting")
        runs, threads = settings.concurrent_runs, settings.threads
        if threads == 0:
            threads = cores.whole
        if threads is None:
            threads = max(1, cores.whole // runs) if runs else 1
        return cls(
            cores=cores,
            runs=runs or max(1, cores.whole // threads),
            threads=threads,
            spinning=settings.spinning,
        )

    @property
    def most_threads(self) -> int:
        """Threads of all runs together."""
        return self.runs * self.threads

    def threads_of(self, wanted: int | None) -> int:
        """Threads of one run of a model.

        Args:
            wanted: what its configuration says; 0 is every core, and None is nothing.
        """
        if wanted is None:
            return self.threads
        return wanted or self.cores.whole

    def share_of(self, threads: int) -> int:
        """What a run of so many threads takes of `most_threads`.

        All of it, at most; and what the usual run takes, at least, so that there are never more
        than `runs`.
        """
        return min(max(threads, self.threads), self.most_threads)

    def runs_of(self, threads: int) -> int:
        """Runs of so many threads that there may be at the same time; at least 1."""
        return self.most_threads // self.share_of(threads)

    def log(self) -> None:
        """Say all this; and where somebody has asked for more threads than cores, that."""
        said = {
            "cores": self.cores.count,
            "source": self.cores.source,
            "concurrent_runs": self.runs,
            "threads": self.threads,
            "spinning": self.spinning,
        }
        _log.info("cores", **said)
        if self.most_threads > self.cores.whole:
            _log.warning("more threads than cores", **said)
