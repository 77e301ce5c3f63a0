"""Examine a version: certificate, checks, yardstick. Runs in a helper process."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import numpy as np

from bundle.certificate import BatchCertificate
from bundle.checks import Subject, certify, run_checks
from bundle.checks.batch import batch_of
from bundle.checks.library import batch_invariance
from bundle.checks.parity import feeds_of
from bundle.checks.rounding import rounding_tolerances
from bundle.checks.rows import Pool, pools
from bundle.checks.subject import Feeds
from bundle.checks.trials import POOL_ROWS
from bundle.comparison import Tolerance, compare
from bundle.errors import InputInvalid
from bundle.opener import OpenModel
from service.consistency.pace import Pace, measure
from service.consistency.report import Key, Report, Yardstick
from service.consistency.source import Source

__all__ = ["Examine"]

_LARGEST_BATCH: Final = 64


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
            paces=_paces(subject, certificate) if certificate.allows_batching else (),
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


def _paces(subject: Subject, certificate: BatchCertificate) -> tuple[Pace, ...]:
    """How quick batches are; each size is held against the rows alone, as the trials were."""
    opened = subject.open()
    limits = batch_of(subject, opened.inputs)
    pool = pools(subject, opened, rows=min(POOL_ROWS, limits.maximum or POOL_ROWS))[0]
    alone = [opened.run(pool.take([row])) for row in range(pool.rows)]
    batches = _Batches(opened, pool, alone, certificate.tolerances)
    return measure(batches.of, most=min(_LARGEST_BATCH, limits.maximum or _LARGEST_BATCH))


@dataclass(frozen=True, slots=True)
class _Batches:
    """Batches of any size from the rows of a pool, over and over."""

    opened: OpenModel
    pool: Pool
    alone: Sequence[Feeds]
    tolerances: Mapping[str, Tolerance]

    def of(self, rows: int) -> Callable[[], object] | None:
        """What runs such a batch; None unless every row is answered as alone."""
        places = [row % self.pool.rows for row in range(rows)]
        feeds = self.pool.take(places)
        try:
            together = self.opened.run(feeds)
        except InputInvalid:
            return None
        wanted = {
            name: np.concatenate([self.alone[place][name] for place in places]) for name in together
        }
        agree = all(c.passed for c in compare(wanted, together, self.tolerances))
        return partial(self.opened.run, feeds) if agree else None


def _largest(array: np.ndarray) -> float:
    values = array.astype(np.float64)
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
