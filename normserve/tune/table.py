"""What a tuning found out, for a person. Measures and writes nothing."""

import statistics
from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from normserve.tune.evidence import Evidence

__all__ = ["said", "trial_table"]

_FEW = 4
_BUSY = 0.5
"""Runnable threads a core, of others."""


def trial_table(evidence: Evidence) -> Table:
    """Every way that was tried, best first within each stage, and how it compares."""
    table = Table(
        title=f"{evidence.model} version {evidence.version}: {evidence.objective},"
        f" {evidence.cores} cores, {evidence.provider}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
    )
    table.add_column("stage")
    table.add_column("way to run it", overflow="fold")
    is_latency = evidence.objective == "latency"
    table.add_column("ms a run" if is_latency else "answers/s", justify="right", no_wrap=True)
    table.add_column("× present", justify="right", no_wrap=True)
    table.add_column("spread", justify="right", no_wrap=True)
    stage = ""
    for trial in evidence.trials:
        shown = trial.stage if trial.stage != stage else ""
        stage = trial.stage
        if trial.unmeasured:
            table.add_row(shown, f"{trial.setting}\n[red]{escape(trial.unmeasured)}[/]")
            continue
        rate = f"{1e3 / trial.rate:.3g}" if is_latency else f"{trial.rate:,.0f}"
        table.add_row(shown, trial.setting, rate, f"{trial.ratio:.2f}", _spread(trial.ratios))
    return table


def said(evidence: Evidence) -> Iterator[str]:
    """What was decided, a line each."""
    if evidence.load is not None and evidence.load > _BUSY * evidence.cores:
        yield (
            f"the machine was busy before it began ({evidence.load:.1f} runnable threads,"
            f" {evidence.cores} cores): tune again when nothing else runs"
        )
    for comparison in evidence.comparisons:
        known = f"{comparison.at_least:.2f} at least" if comparison.at_least else "too few rounds"
        yield (
            f"{comparison.stage}: {comparison.challenger} is {comparison.ratio:.2f} times as quick"
            f" as {comparison.present} ({known}, {_spread(comparison.ratios)},"
            f" {len(comparison.ratios)} rounds): {'better' if comparison.is_better else 'noise'}"
        )
    if evidence.gain is None:
        yield "nothing is better than the present way beyond noise"
    else:
        yield f"chosen: {evidence.gain.challenger}, {evidence.gain.ratio:.2f} times as quick"


def _spread(ratios: Sequence[float]) -> str:
    """The middle half; everything, of few."""
    if not ratios:
        return ""
    if len(ratios) < _FEW:
        low, high = min(ratios), max(ratios)
    else:
        low, _, high = statistics.quantiles(ratios, n=4)
    return f"{low:.2f} to {high:.2f}"
