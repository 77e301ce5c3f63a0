"""A report as GitHub-flavoured Markdown, for the summary of a CI job."""

from collections.abc import Iterator

from normserve.validate.document import Examined, Report, Status
from normserve.validate.outputs.wording import (
    measured_of,
    name_of,
    status_of,
    summary_of,
    tolerance_of,
    verdict_of,
)
from normserve.validate.text import markdown

__all__ = ["to_markdown"]

_SIGNS: dict[Status, str] = {"pass": "✅", "warn": "⚠️", "fail": "❌", "error": "❌"}


def to_markdown(report: Report) -> bytes:
    """The document, in UTF-8: the verdict, a table of targets, and the findings of each."""
    return ("\n".join(_lines(report)) + "\n").encode()


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_SIGNS[report.status]} normserve validate: {report.status}"
    yield ""
    yield f"{markdown(summary_of(report))}."
    yield ""
    yield "| | target | verdict |"
    yield "|---|---|---|"
    for examined in report.targets:
        yield (
            f"| {_SIGNS[examined.status]} | {markdown(examined.target)}"
            f" | {markdown(verdict_of(examined))} |"
        )
    for examined in report.targets:
        if examined.findings:
            yield ""
            yield from _findings(examined)
    yield ""
    yield markdown(
        f"normserve {report.normserve}, {report.runtime}, {report.device},"
        f" policy {report.policy}, threads {report.threads}, {report.created:%Y-%m-%d %H:%M} UTC"
    )


def _findings(examined: Examined) -> Iterator[str]:
    yield f"### {markdown(examined.target)}"
    yield ""
    yield "| check | status | measured | tolerance | meaning |"
    yield "|---|---|---:|---:|---|"
    for found in examined.findings:
        cells = (
            name_of(found),
            status_of(found),
            measured_of(found),
            tolerance_of(found.tolerance),
            found.meaning,
        )
        yield f"| {' | '.join(map(markdown, cells))} |"
    remedies = [
        f"- **{markdown(name_of(found))}**: {markdown(found.remedy)}"
        for found in examined.findings
        if found.remedy and found.counts_as != "pass"
    ]
    if remedies:
        yield ""
        yield from remedies
