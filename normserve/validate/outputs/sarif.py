"""A report as SARIF 2.1.0, for code scanning.

Results are what somebody has to look at: failures and warnings. What passed is in the JSON report.
Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html, and the properties that
GitHub reads: https://docs.github.com/code-security/reference/code-scanning/sarif-files.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from normserve.validate.document import Examined, Found, Report, Where
from normserve.validate.outputs.wording import measured_of, name_of, tolerance_of
from normserve.validate.selection import page_of, question_of

__all__ = ["to_sarif"]

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {"fail": "error", "warn": "warning"}


def to_sarif(report: Report) -> bytes:
    """The document, in ASCII. A failure that was allowed at export is a suppressed result."""
    problems = [
        (examined, found)
        for examined in report.targets
        for found in examined.findings
        if found.status in _LEVELS
    ]
    rules = sorted({found.check for _, found in problems})
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "normserve",
                        "version": report.normserve,
                        "rules": [_rule(name) for name in rules],
                    }
                },
                "automationDetails": {"id": "normserve-validate/"},
                "columnKind": "unicodeCodePoints",
                "invocations": [_invocation(report)],
                "results": [
                    {**_result(examined, found), "ruleIndex": rules.index(found.check), **mark}
                    for (examined, found), mark in zip(problems, _marks(problems), strict=True)
                ],
            }
        ],
    }
    return (json.dumps(log, indent=1, allow_nan=False) + "\n").encode()


def _rule(name: str) -> dict[str, Any]:
    question = question_of(name)
    return {
        "id": name,
        "shortDescription": {"text": question},
        "fullDescription": {"text": question},
        "help": {"text": f"Explained in {page_of(name)} of NormServe."},
    }


def _invocation(report: Report) -> dict[str, Any]:
    return {
        "executionSuccessful": report.status != "error",
        "exitCode": report.exit_status,
        "endTimeUtc": report.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "toolExecutionNotifications": [
            {
                "level": "error",
                "message": {"text": f"{examined.target}: {examined.error}"},
            }
            for examined in report.targets
            if examined.error
        ],
    }


def _marks(problems: Sequence[tuple[Examined, Found]]) -> Iterator[dict[str, Any]]:
    """What tells a result from the others, and is the same in the next run."""
    seen: Counter[str] = Counter()
    for examined, found in problems:
        identity = f"{examined.target}\0{name_of(found)}"
        mark = hashlib.sha256(f"{identity}\0{seen[identity]}".encode()).hexdigest()[:16]
        seen[identity] += 1
        yield {"partialFingerprints": {"primaryLocationLineHash": mark}}


def _result(examined: Examined, found: Found) -> dict[str, Any]:
    numbers = ""
    if found.measured is not None:
        numbers = f" (measured {measured_of(found)}, tolerance {tolerance_of(found.tolerance)})"
    remedy = f" To do: {found.remedy}." if found.remedy else ""
    result: dict[str, Any] = {
        "ruleId": found.check,
        "level": _LEVELS[found.status],
        "message": {"text": f"{examined.target}: {found.meaning}{numbers}.{remedy}"},
        "locations": [_location(examined)],
        "properties": {"established": found.established},
    }
    if found.allowed:
        result["suppressions"] = [
            {"kind": "external", "justification": "allowed when the model was exported"}
        ]
    return result


def _location(examined: Examined) -> dict[str, Any]:
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": examined.target, "kind": "module"}]
    }
    if examined.where is not None:
        location["physicalLocation"] = {
            "artifactLocation": _artifact(examined.where),
            "region": {"startLine": examined.where.line},
        }
    return location


def _artifact(where: Where) -> dict[str, str]:
    if Path(where.path).is_absolute():
        return {"uri": f"file://{quote(where.path)}"}
    return {"uri": quote(where.path), "uriBaseId": "%SRCROOT%"}
