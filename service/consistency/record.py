"""What is known of a served version's consistency: the one place that keeps it. Finds nothing out.

Readers (the transports, the batcher) never wait: they see whole, immutable states.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from bundle.certificate import BatchCertificate
from bundle.manifest import Finding, Manifest
from service.consistency.live import Live
from service.consistency.pace import rows_worth
from service.consistency.report import Key, Report
from service.consistency.source import Source

__all__ = ["Batching", "Consistency", "Exported", "Golden", "Phase", "Placement", "Status"]

_EXAMINING = "it is being examined, or waits for that"


class Phase(StrEnum):
    """How far it is known whether a version answers as it should."""

    UNKNOWN = "unknown"
    """Nobody has asked."""
    ESTABLISHING = "establishing"
    """It is being found out, or waits for that; what was known before still holds."""
    ESTABLISHED = "established"
    FAILED = "failed"
    """It could not be found out; what was known before still holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known now.

    Attributes:
        phase: how far it is known.
        reason: why it is in that phase, where the phase does not say enough.
        report: what was established last.
        is_kept: whether the report was found in the cache, and not established by this process.
        not_kept: why the report could not be kept for the next start; empty if it was.
    """

    phase: Phase
    reason: str = ""
    report: Report | None = None
    is_kept: bool = False
    not_kept: str = ""


@dataclass(frozen=True, slots=True)
class Batching:
    """Whether requests of different clients may be computed as one batch.

    Attributes:
        allowed: whether they may.
        reason: what that rests on, or why not.
        rows: of a batch: those that the model's configuration wants, as far as they were seen to
            agree, else those that make the most of the model on this machine; 1 where batches are
            not allowed, or do not pay.
        most: rows of the largest batch that was seen to answer as its rows do alone, and that the
            model's configuration allows.
    """

    allowed: bool
    reason: str
    rows: int = 1
    most: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The golden samples, as they were run again when the version was loaded.

    Attributes:
        samples: how many there are; each agreed, or the version would not be served.
        max_abs_error: the largest difference of any output.
        replayed: when, with its time zone.
    """

    samples: int
    max_abs_error: float
    replayed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What the exporter found out, on its machine.

    Attributes:
        source: what was exported.
        created: when, with its time zone.
        findings: of the checks.
        allowed: the checks whose failure was allowed.
        certificate: of the batch, on the exporter's machine.
    """

    source: str
    created: datetime
    findings: tuple[Finding, ...]
    allowed: tuple[str, ...]
    certificate: BatchCertificate | None

    @classmethod
    def of(cls, manifest: Manifest) -> "Exported":
        """What a manifest says."""
        return cls(
            source=manifest.provenance.source,
            created=manifest.provenance.created,
            findings=manifest.findings,
            allowed=manifest.allowed,
            certificate=manifest.certificate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a version runs.

    Attributes:
        provider: the execution provider that was asked first.
        nodes: of the optimized graph, how many run on each provider.
        lowered: the nodes that were rewritten because the provider has no kernel for them.
        passed_over: providers that were wanted more, each with the reason why they are not used.
    """

    provider: str
    nodes: Mapping[str, int] = field(default_factory=dict)
    lowered: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


class Consistency:
    """What is known of one served version.

    Attributes:
        source: the files it was loaded from.
        key: what a report must hold for to say something of it.
        placement: where it runs.
        golden: None for a plain file, which has no golden samples.
        exported: None for a plain file.
        wanted_rows: of a batch, as the model's configuration says; None where it does not.
        max_rows: that a batch may have, as it says; None where it does not.
        live: what the canary has seen.
    """

    def __init__(
        self,
        source: Source,
        *,
        placement: Placement,
        golden: Golden | None = None,
        exported: Exported | None = None,
        wanted_rows: int | None = None,
        max_rows: int | None = None,
    ) -> None:
        self.source = source
        self.key = Key.of(source, provider=placement.provider)
        self.placement = placement
        self.golden = golden
        self.exported = exported
        self.wanted_rows = wanted_rows
        self.max_rows = max_rows
        self.live = Live()
        self._become(Status(phase=Phase.UNKNOWN, reason="nothing was asked to be established"))

    @property
    def status(self) -> Status:
        """What is known now."""
        return self._status

    @property
    def batching(self) -> Batching:
        """Whether a certificate allows batches across requests."""
        return self._batching

    def begin(self) -> None:
        """It is being found out, or waits for that."""
        self._become(replace(self._status, phase=Phase.ESTABLISHING, reason=_EXAMINING))

    def finish(
        self, report: Report, *, is_kept: bool = False, not_kept: str = "", is_last: bool = True
    ) -> None:
        """It was found out.

        Args:
            report: what; made for this version.
            is_kept: whether the report comes from the cache.
            not_kept: why it could not be put there.
            is_last: whether nobody waits for another one.
        """
        self._become(
            Status(
                phase=Phase.ESTABLISHED if is_last else Phase.ESTABLISHING,
                reason="" if is_last else _EXAMINING,
                report=report,
                is_kept=is_kept,
                not_kept=not_kept,
            )
        )

    def fail(self, reason: str) -> None:
        """It could not be found out; what was known before still holds for the loaded file."""
        self._become(replace(self._status, phase=Phase.FAILED, reason=reason))

    def _become(self, status: Status) -> None:
        self._status = status
        # asked for with every request
        self._batching = _batching(status, wanted=self.wanted_rows, maximum=self.max_rows)


def _batching(status: Status, *, wanted: int | None, maximum: int | None) -> Batching:
    if status.report is None:
        reason = f"no certificate was established: {status.reason or status.phase}"
        return Batching(allowed=False, reason=reason)
    certificate, paces = status.report.certificate, status.report.paces
    reason = f"{certificate.verdict}: {certificate.reason}"
    if not certificate.allows_batching:
        return Batching(allowed=False, reason=reason)
    tried = max((pace.rows for pace in paces), default=1)
    most = tried if maximum is None else min(tried, maximum)
    rows = rows_worth(paces) if wanted is None else wanted
    return Batching(allowed=True, reason=reason, rows=min(rows, most), most=most)
