"""What the batchers of all models share. Forms no batches itself."""

from collections.abc import Callable

from service.batching.admission import Admission
from service.batching.batcher import Batcher
from service.batching.plan import Plan
from service.batching.turns import Turns
from service.engine import Engine

__all__ = ["Batchers"]


class Batchers:
    """Makes the batchers of a service.

    Args:
        at_once: runs at the same time, over all models.
        max_waiting: requests that may wait beside those.
        max_rows: of a run that different requests share; 1 is none.
        plan: how they share runs, where a model's configuration says nothing.
    """

    def __init__(self, *, at_once: int, max_waiting: int, max_rows: int, plan: Plan) -> None:
        self._admission = Admission(most=at_once + max_waiting)
        self._turns = Turns(at_once)
        self._max_rows = max_rows
        self._plan = plan

    def batcher(self, engine: Engine, *, rows: Callable[[], int], plan: Plan | None) -> Batcher:
        """The batcher of a model.

        Args:
            engine: computes its runs.
            rows: that may share a run of it, at any time.
            plan: what its configuration says.
        """
        return Batcher(
            engine,
            admission=self._admission,
            turns=self._turns,
            rows=lambda: min(rows(), self._max_rows),
            plan=plan or self._plan,
        )
