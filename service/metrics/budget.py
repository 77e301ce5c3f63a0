"""The cores that may be used, and how they are shared among runs. Shares nothing itself."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.budget import Budget

__all__ = ["BudgetCollector"]


class BudgetCollector(Collector):
    """Tells of a budget, which does not change."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def collect(self) -> Iterable[Metric]:
        """The cores, the runs at the same time, and the threads of each and how they wait."""
        cores = GaugeMetricFamily(
            "normserve_cores",
            "Cores that models may use, and what says so.",
            labels=("source",),
        )
        cores.add_metric((self._budget.cores.source,), self._budget.cores.count)
        yield cores
        yield GaugeMetricFamily(
            "normserve_concurrent_runs",
            "Runs at the same time, over all models.",
            value=self._budget.runs,
        )
        yield GaugeMetricFamily(
            "normserve_run_threads",
            "Threads of one run of a model whose configuration says nothing else.",
            value=self._budget.threads,
        )
        yield GaugeMetricFamily(
            "normserve_spinning",
            "1 if these keep their cores busy while they wait for each other.",
            value=float(self._budget.spinning),
        )
