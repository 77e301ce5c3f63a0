"""Examine a version: certificate, checks, yardstick. Runs in a helper process."""

import dataclasses
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bundle.checks import Subject, certify, run_checks
from bundle.checks.library import batch_invariance
from bundle.checks.parity import feeds_of
from bundle.checks.rounding import rounding_tolerances
from bundle.errors import InputInvalid
from service.consistency.report import Key, Report, Yardstick
from service.consistency.source import Source

__all__ = ["Examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examine:
    """Find out what a report says.

    Attributes:
        source: the version.
        key: what the report is to hold for.
        thorough: whether to make every check, or only what the certificate needs.
    """

    source: Source
    key: Key
    thorough: bool

    def __call__(self) -> Report:
        """The report.

        Raises:
            BundleError: the version cannot be opened or run, or is not what was loaded.
        """
        began = time.perf_counter()
        subject = self.source.subject()
        certificate = certify(subject)
        findings = run_checks(
            dataclasses.replace(subject, certificate=certificate),
            None if self.thorough else [batch_invariance.NAME],
        )
        return Report(
            key=self.key,
            created=datetime.now(UTC),
            seconds=round(time.perf_counter() - began, 3),
            thorough=self.thorough,
            findings=findings,
            certificate=certificate,
            yardstick=_yardstick(subject),
        )


def _yardstick(subject: Subject) -> Yardstick | None:
    opened = subject.open()
    try:
        feeds = feeds_of(subject, opened)
    except InputInvalid:
        return None
    answers = [opened.run(feed) for feed in feeds]
    tolerances = rounding_tolerances(subject, feeds, answers)
    return Yardstick(
        tolerances=tolerances,
        magnitudes={name: max(_largest(answer[name]) for answer in answers) for name in tolerances},
    )


def _largest(array: np.ndarray) -> float:
    values = array.astype(np.float64)
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
