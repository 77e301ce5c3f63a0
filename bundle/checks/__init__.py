"""Checks of a model that need no torch: whether it serves what its file says, and how reliably.

A check takes a `Subject` and gives findings. The batch certificate, which says whether rows of
different requests may share a batch, is a document of its own.
"""

from collections.abc import Mapping, Sequence

from bundle.certificate import (
    BatchCertificate,
    Cell,
    Neighbours,
    Operator,
    Standing,
    Verdict,
    Witness,
)
from bundle.checks import library
from bundle.checks.certify import certify
from bundle.checks.registry import Check, Progress, Registry
from bundle.checks.subject import Feeds, Subject
from bundle.manifest import Finding

__all__ = [
    "BatchCertificate",
    "Cell",
    "Check",
    "Feeds",
    "Neighbours",
    "Operator",
    "Progress",
    "Registry",
    "Standing",
    "Subject",
    "Verdict",
    "Witness",
    "certify",
    "checks",
    "run_checks",
]

_REGISTRY: Registry[Subject] = Registry(library)


def checks() -> Mapping[str, Check[Subject]]:
    """Every check of `bundle.checks.library` by its name, in alphabetical order."""
    return _REGISTRY.checks


def run_checks(
    subject: Subject, names: Sequence[str] | None = None, progress: Progress | None = None
) -> tuple[Finding, ...]:
    """Run some checks, or all, on a model: see `Registry.run`."""
    return _REGISTRY.run(subject, names, progress)
