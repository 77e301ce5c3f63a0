"""Checks of a model that need no torch: whether it serves what its file says, and how reliably.

A check takes a `Subject` and gives a `bundle.Finding`. The batch certificate, which says whether
rows of different requests may share a batch, is a document of its own.
"""

from bundle.checks.certificate import BatchCertificate, Cell, Verdict, Witness
from bundle.checks.certify import certify
from bundle.checks.neighbours import Neighbours
from bundle.checks.operators import Operator
from bundle.checks.reach import Standing
from bundle.checks.registry import Check, Progress, checks, run_checks
from bundle.checks.subject import Feeds, Subject

__all__ = [
    "BatchCertificate",
    "Cell",
    "Check",
    "Feeds",
    "Neighbours",
    "Operator",
    "Progress",
    "Standing",
    "Subject",
    "Verdict",
    "Witness",
    "certify",
    "checks",
    "run_checks",
]
