"""What the batchers of all models share. Forms no batches itself."""

from collections.abc import Callable

from service.batching.admission import Admission
from service.batching.batcher import Batcher
from service.batching.plan import Plan
from service.batching.turns import Turns
from service.budget import Budget
from service.engine import Engine

__all__ = ["Batchers"]


class Batchers:
    """Makes the batchers of a service.

    Args:
        budget: of the runs of all models.
        max_waiting: requests that may wait beside those that run.
        max_waiting_bytes: that the inputs of both may have.
        max_rows: of a run that different requests share; 1 is none.
        plan: how they share runs, where a model's configuration says nothing.

    Attributes:
        max_rows: as above.
    """

    def __init__(
        self,
        *,
        budget: Budget,
        max_waiting: int,
        max_waiting_bytes: int,
        max_rows: int,
        plan: Plan,
    ) -> None:
        self._admission = Admission(most=budget.runs + max_waiting, most_bytes=max_waiting_bytes)
        self._turns = Turns(budget.most_threads)
        self._budget = budget
        self.max_rows = max_rows
        self._plan = plan

    def batcher(
        self, engine: Engine, *, threads: int, rows: Callable[[], int], plan: Plan | None
    ) -> Batcher:
        """The batcher of a model.

        Args:
            engine: computes its runs.
            threads: of one of them.
            rows: that may share a run of it, at any time.
            plan: what its configuration says.
        """
        return Batcher(
            engine,
            admission=self._admission,
            turns=self._turns,
            threads=self._budget.share_of(threads),
            rows=lambda: min(rows(), self.max_rows),
            plan=plan or self._plan,
        )
