"""The sentence at the top of a report. Not for: what it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bundle import Finding
from exporters.report.document import ExportReport

__all__ = ["Verdict", "verdict_of"]

_NAMED = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an export.

    Attributes:
        status: ``fail``: nothing is written; ``warn``: written, and there is something to read.
        said: in a sentence.
        then: what follows from it; empty where nothing does.
        allow: the check to name in ``--allow``; empty where nothing was refused.
    """

    status: Literal["pass", "warn", "fail"]
    said: str
    then: str = ""
    allow: str = ""


def verdict_of(report: ExportReport) -> Verdict:
    """Sum up what the checks found."""
    refused, failures = report.refused, report.failures
    remarks = [finding for finding in report.manifest.findings if finding.status == "warn"]
    if refused:
        return Verdict(
            "fail",
            f"Not to be served: {_names(refused)} failed.",
            "Nothing is written unless that is allowed by name:",
            allow=refused[0].check,
        )
    if failures:
        return Verdict(
            "warn",
            f"Written although {_names(failures)} failed, which was allowed.",
            "Read what failed before it is served.",
        )
    if remarks:
        return Verdict("warn", f"No check failed; look at {_names(remarks)}.")
    return Verdict("pass", "No check failed, and none has a remark.")


def _names(findings: Iterable[Finding]) -> str:
    names = list(dict.fromkeys(finding.check for finding in findings))
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
