"""What all forms of a report say in the same words. Knows no form."""

from bundle import Tolerance
from normserve.validate.document import Examined, Found, Report, Status

__all__ = ["measured_of", "name_of", "status_of", "summary_of", "tolerance_of", "verdict_of"]


def name_of(found: Found) -> str:
    """A check's name, with when it was made if that was not now."""
    return found.check if found.established == "now" else f"{found.check} (at export)"


def status_of(found: Found) -> str:
    """How a check ended."""
    return f"{found.status} (allowed)" if found.allowed else found.status.replace("_", " ")


def measured_of(found: Found) -> str:
    """What was measured, in two digits."""
    return "-" if found.measured is None else f"{found.measured:.2g}"


def tolerance_of(tolerance: Tolerance | None) -> str:
    """What was allowed, in two digits."""
    if tolerance is None:
        return "-"
    relative = f" + {tolerance.rtol:.2g}·|e|" if tolerance.rtol else ""
    return f"{tolerance.atol:.2g}{relative}"


def verdict_of(examined: Examined) -> str:
    """One phrase on a target."""
    if examined.error:
        return f"could not be examined: {examined.error}"
    total = len(examined.findings)
    for status in ("fail", "warn"):
        names = [name_of(found) for found in examined.findings if found.counts_as == status]
        if names:
            verb = "failed" if status == "fail" else "with a warning"
            return f"{len(names)} of {total} checks {verb}: {', '.join(dict.fromkeys(names))}"
    applicable = sum(found.status == "pass" for found in examined.findings)
    return f"{applicable} checks passed"


def summary_of(report: Report) -> str:
    """One sentence on a run."""
    statuses: tuple[tuple[Status, str], ...] = (
        ("pass", "passed"),
        ("warn", "passed with warnings"),
        ("fail", "failed"),
        ("error", "could not be examined"),
    )
    parts = [f"{report.count(status)} {said}" for status, said in statuses if report.count(status)]
    noun = "target" if len(report.targets) == 1 else "targets"
    return f"{len(report.targets)} {noun}: {', '.join(parts) or 'nothing to do'}"
