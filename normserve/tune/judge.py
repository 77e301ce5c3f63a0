"""What a model must answer, whatever way it is run. Measures no time.

A bundle is held against its golden samples, within the manifest's tolerances; a plain file against
itself on the CPU without optimizations, within its rounding. Rows that share a run are held against
the same rows alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from bundle import OutputComparison, Sample, Tolerance, compare, read_samples, replay
from bundle.checks import Feeds, Subject
from bundle.checks.parity import feeds_of
from bundle.checks.rows import Pool, pools
from bundle.errors import InputInvalid
from bundle.golden import Runs
from normserve.tune.errors import Refused, Untunable
from service.consistency import Source
from service.consistency.report import Report

__all__ = ["Judge"]

_POOL_ROWS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Decides whether a way to run a model may be measured at all.

    Attributes:
        samples: inputs, with the outputs that are right for them.
        tolerances: for each float output.
        pool: rows for batches; None where requests share no runs.
        noise: that rows may move by in a batch, for each float output.
    """

    samples: tuple[Sample, ...]
    tolerances: Mapping[str, Tolerance]
    pool: Pool | None
    noise: Mapping[str, Tolerance]

    @classmethod
    def of(cls, source: Source, report: Report) -> Self:
        """The judge of a model.

        Args:
            source: its files.
            report: what was established of it as it is run now.

        Raises:
            BundleError: the files cannot be read, or do not run.
            Untunable: there is nothing to hold answers against.
        """
        subject = source.subject()
        certificate = report.certificate
        opened = subject.open()
        pool = None
        if certificate.allows_batching:
            pool = pools(subject, opened, rows=_POOL_ROWS)[0]
        if subject.manifest is not None:
            manifest = subject.manifest
            samples = read_samples(source.folder, manifest.inputs, manifest.outputs)
            tolerances: Mapping[str, Tolerance] = manifest.tolerances
        else:
            samples, tolerances = _own_samples(source, subject, report)
        if not samples:
            raise Untunable("the bundle has no golden sample to hold answers against.")
        return cls(samples=samples, tolerances=tolerances, pool=pool, noise=certificate.tolerances)

    def feeds(self, rows: int) -> Feeds:
        """The inputs of a run; those of the first sample where requests share none."""
        if self.pool is None:
            return self.samples[0].inputs
        return self.pool.take([row % self.pool.rows for row in range(rows)])

    def require_right(self, model: Runs) -> None:
        """Hold a model's answers against those that are right.

        Raises:
            Refused: one does not agree.
            BundleError: it does not run.
        """
        _require(replay(model, self.samples, self.tolerances), "")

    def require_own_rows(self, model: Runs, rows: int) -> None:
        """Hold the rows of a run against the same rows alone.

        Raises:
            Refused: one does not agree.
            BundleError: it does not run.
        """
        if self.pool is None or rows == 1:
            return
        places = [row % self.pool.rows for row in range(rows)]
        alone = [model.run(self.pool.take([row])) for row in range(min(rows, self.pool.rows))]
        together = model.run(self.pool.take(places))
        wanted = {
            name: np.concatenate([alone[place][name] for place in places]) for name in together
        }
        _require(compare(wanted, together, self.noise), f"in a run of {rows} rows ")


def _own_samples(
    source: Source, subject: Subject, report: Report
) -> tuple[tuple[Sample, ...], Mapping[str, Tolerance]]:
    reference = source.open(reference=True)
    try:
        feeds = feeds_of(subject, reference)
    except InputInvalid as err:
        raise Untunable(f"nothing to hold answers against: {err}") from err
    if report.yardstick is None:
        raise Untunable("nothing to hold answers against: no input is known that it computes.")
    samples = tuple(Sample(feed, reference.run(feed)) for feed in feeds)
    return samples, report.yardstick.tolerances


def _require(comparisons: Sequence[OutputComparison], where: str) -> None:
    failed = next((c for c in comparisons if not c.passed), None)
    if failed is not None:
        raise Refused(f"{where}{failed.reason.rstrip('.')}")
