"""Was every dynamic dimension run at more than one size?

Explained in ``docs/checks/dynamic-dimensions.md``.
"""

from bundle import Finding
from exporters.checks.subject import TorchSubject

__all__ = ["NAME", "check"]

NAME = "dynamic-dimensions"


def check(subject: TorchSubject) -> tuple[Finding, ...]:
    """One finding for each dimension."""
    return tuple(_finding(subject, name) for name in subject.source.dimensions.by_name)


def _finding(subject: TorchSubject, name: str) -> Finding:
    seen = sorted({case[name] for case in subject.sizes})
    said = f"dimension '{name}' was run at {', '.join(map(str, seen))}"
    if len(seen) > 1:
        return Finding(check=NAME, status="pass", measured=None, tolerance=None, meaning=said)
    return Finding(
        check=NAME,
        status="warn",
        measured=None,
        tolerance=None,
        meaning=f"{said} only: the model itself takes no other size that was tried",
        remedy="give reference_inputs of other sizes, or leave it out of dynamic_shapes",
    )
