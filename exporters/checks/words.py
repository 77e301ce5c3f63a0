"""What checks say: findings, and numbers of things in their messages. Knows no check."""

from typing import Literal

from bundle import Finding, Tolerance

__all__ = ["counted", "finding"]


def counted(number: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def finding(
    check: str,
    status: Literal["pass", "warn", "fail", "not_applicable"],
    meaning: str,
    remedy: str = "",
    *,
    measured: float | None = None,
    tolerance: Tolerance | None = None,
) -> Finding:
    """A finding in the order in which it is thought of; its arguments are `bundle.Finding`'s."""
    return Finding(
        check=check,
        status=status,
        measured=measured,
        tolerance=tolerance,
        meaning=meaning,
        remedy=remedy,
    )
