"""A diagnosis for a person: the error layer by layer, and what it means. Finds nothing out."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from bundle.diagnose import Diagnosis, Step, Verdict

__all__ = ["print_diagnosis"]

_BEFORE, _BEHIND = 12, 8
"""Rows that are shown around the first divergence; every row if all are asked for."""
_STYLES = {Verdict.AGREES: "green", Verdict.EXPLAINED: "yellow", Verdict.DIVERGES: "red"}


def print_diagnosis(diagnosis: Diagnosis, console: Console, *, every_row: bool) -> None:
    """Print the verdict, the table and the cause.

    Args:
        diagnosis: what was found.
        console: where to.
        every_row: show each value, not only those around the first divergence.
    """
    verdict = diagnosis.verdict
    console.print(
        f"[bold]{diagnosis.actual}[/bold] against {diagnosis.expected}:"
        f" [{_STYLES[verdict]}]{verdict}[/] ({len(diagnosis.steps)} values compared)"
    )
    if diagnosis.first is not None or every_row:
        console.print(_table(diagnosis, every_row=every_row))
    for line in _lines(diagnosis):
        console.print(f"  {line}")
    console.print()


def _table(diagnosis: Diagnosis, *, every_row: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    table.add_column("operator", overflow="fold")
    for heading in ("largest value", "float32's own error", "allowed", "error"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for step in _shown(diagnosis, every_row=every_row):
        is_first = step == diagnosis.first
        table.add_row(
            step.layer,
            "" if step.operator is None else step.operator.op_type,
            f"{step.scale:.2e}",
            f"{step.rounding:.1e}",
            f"{step.comparison.tolerance.atol:.1e}",
            f"{step.error:.1e}",
            _mark(step, is_first=is_first),
            style="bold" if is_first else None,
        )
    return table


def _shown(diagnosis: Diagnosis, *, every_row: bool) -> tuple[Step, ...]:
    if every_row or diagnosis.first is None:
        return diagnosis.steps
    place = diagnosis.steps.index(diagnosis.first)
    return diagnosis.steps[max(0, place - _BEFORE) : place + _BEHIND + 1]


def _mark(step: Step, *, is_first: bool) -> str:
    if is_first:
        return "<- first"
    if not step.comparison.passed:
        return "differs"
    return "" if step.within_float32 else "explained"


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    first, cause, part = diagnosis.first, diagnosis.cause, diagnosis.reproduction
    if first is not None:
        comparison = first.comparison
        where = "" if comparison.worst_index is None else f" at {comparison.worst_index}"
        yield (
            f"first: [bold]{first.layer}[/bold] (value '{first.value}'){where}:"
            f" got {comparison.actual or '-'}, expected {comparison.expected or '-'}"
        )
        if comparison.max_abs_error is None:
            yield comparison.reason
    if cause is not None:
        yield f"likely cause: [bold]{cause.kind}[/bold]: {cause.meaning}"
        yield f"remedy: {cause.remedy}"
    if part is not None:
        shows = "shows it" if part.reproduces else "does NOT show it"
        begins = "from the model's inputs" if part.is_whole else f"from {', '.join(part.inputs)}"
        nodes = "1 node" if part.nodes == 1 else f"{part.nodes} nodes"
        yield f"reproduction: {nodes} {begins}, run alone: {shows}"
    yield diagnosis.conditioning
    yield from diagnosis.notes
