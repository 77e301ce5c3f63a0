"""A report for a person at a terminal: the verdict first, then every finding, then what to do."""

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normserve.validate.document import Examined, Report
from normserve.validate.outputs.wording import (
    measured_of,
    name_of,
    status_of,
    summary_of,
    tolerance_of,
    verdict_of,
)
from normserve.validate.text import visible

__all__ = ["print_report"]

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "error": "bold red"}


def print_report(report: Report, console: Console) -> None:
    """Print every target and one line on all of them."""
    for examined in report.targets:
        _print_target(examined, console)
    verdict = Text(report.status.upper(), _STYLES[report.status])
    console.print(Text.assemble(verdict, f"  {summary_of(report)}"))
    console.print(
        Text(
            f"normserve {report.normserve}, {report.runtime}, {report.device}, policy"
            f" {report.policy}, threads {report.threads}",
            "dim",
        )
    )


def _print_target(examined: Examined, console: Console) -> None:
    style = _STYLES[examined.status]
    kind = f" ({examined.kind})" if examined.kind else ""
    title = Text(f"{visible(examined.target)}{kind}", "bold")
    verdict = Text(examined.status.upper(), style)
    console.print(Text.assemble(verdict, "  ", title, f": {visible(verdict_of(examined))}"))
    if examined.findings:
        console.print(_table(examined))
    for found in examined.findings:
        if found.remedy and found.counts_as != "pass":
            line = Text(f"→ {name_of(found)}: {visible(found.remedy)}")
            console.print(Padding(line, (0, 2)))
    console.print()


def _table(examined: Examined) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    table.add_column("check", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("tolerance", justify="right", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    for found in examined.findings:
        table.add_row(
            Text(visible(name_of(found))),
            Text(status_of(found), _STYLES[found.counts_as] if found.counts_as != "pass" else ""),
            measured_of(found),
            tolerance_of(found.tolerance),
            Text(visible(found.meaning)),
        )
    return table
