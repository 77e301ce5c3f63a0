"""What one model has of the cores: what its configuration asks for, as far as there are any."""

from dataclasses import dataclass, replace
from typing import Self

import structlog

from bundle import SessionTuning
from service.budget import Budget
from service.model_options import ModelOptions

__all__ = ["Share"]

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of one model version.

    Attributes:
        threads: of one run, in each branch of the graph.
        tuning: of its session; it says how many branches.
        runs: at the same time.
        cores: that all models have.
    """

    threads: int
    tuning: SessionTuning
    runs: int
    cores: int

    @classmethod
    def of(cls, options: ModelOptions, budget: Budget) -> Self:
        """What a configuration gets."""
        cores = budget.cores.whole
        threads = budget.threads_of(options.threads)
        branches = options.tuning.inter_op_threads or cores
        most = budget.runs_of(threads * branches)
        return cls(
            threads=threads,
            tuning=replace(options.tuning, inter_op_threads=branches),
            runs=min(options.instances or most, most),
            cores=cores,
        )

    @property
    def busy(self) -> int:
        """Threads that a run keeps busy, of all branches."""
        return self.threads * self.tuning.inter_op_threads

    def warn(self, *, model: str, version: int) -> None:
        """Say so, if somebody has asked for more threads of a run than there are cores."""
        if self.busy > self.cores:
            _log.warning(
                "more threads than cores",
                model=model,
                version=version,
                threads=self.busy,
                cores=self.cores,
            )
