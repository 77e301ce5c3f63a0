"""What the commands show a person: progress bars and tables. Measures nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bundle import Bundle

NORM_LEGEND = (
    "error: the largest difference between a layer's output in the file and in PyTorch (float64);"
    " none where its arithmetic is in a node behind it or in a weight"
)

_WIDTH = 132

__all__ = ["NORM_LEGEND", "Bar", "bar", "norm_table", "remarks", "stderr", "stdout"]

# a log or a pipe has no width of its own; tables are for reading all the same
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
stderr = Console(stderr=True, highlight=False)


class Bar:
    """A progress bar that is told how far a piece of work is."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, message="")

    def update(self, done: int, total: int, message: str) -> None:
        """Show that ``done`` of ``total`` steps are done."""
        self._progress.update(self._task, completed=done, total=total, message=message)

    def stage(self, message: str) -> None:
        """Show what is being done now."""
        self._progress.update(self._task, message=message)


@contextmanager
def bar(title: str) -> Iterator[Bar]:
    """A bar on standard error while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[message]}"),
    )
    with Progress(*columns, console=stderr) as progress:
        yield Bar(progress, title)


def norm_table(bundle: Bundle) -> Table:
    """The normalization layers of a bundle: what each was and what became of it."""
    manifest = bundle.manifest
    table = Table(
        title=f"{manifest.name} version {manifest.version}: {len(manifest.norms)} layers",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
    )
    for heading in ("layer", "kind", "what became of it"):
        table.add_column(heading, overflow="fold")
    table.add_column("error", justify="right", no_wrap=True)
    for layer in manifest.norms:
        error = "" if layer.error is None else f"{layer.error:.1e}"
        # a node that is named for the layer itself need not be named again
        detail = layer.detail.replace(f" '{layer.name}/{layer.op}'", "")
        table.add_row(layer.name, layer.kind, f"{layer.fate}: {detail}", error)
    return table


def remarks(bundle: Bundle) -> Iterator[str]:
    """How many checks passed, and what the others found, a line each."""
    findings = bundle.manifest.findings
    passed = sum(finding.status == "pass" for finding in findings)
    applied = sum(finding.status != "not_applicable" for finding in findings)
    yield f"{passed} of {applied} findings pass"
    for finding in findings:
        if finding.status in ("warn", "fail"):
            allowed = " (allowed)" if finding.status == "fail" else ""
            yield escape(f"{finding.check} {finding.status}{allowed}: {finding.meaning}")
