"""The JSON document of a version's consistency, for its routes and the OpenAPI document."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from bundle.certificate import BatchCertificate, Neighbours
from bundle.manifest import Finding
from service.consistency import (
    Against,
    Consistency,
    Exported,
    Golden,
    LiveOutput,
    Phase,
    Placement,
    Report,
)
from service.http.body import Body

__all__ = ["ConsistencyBody"]


class _Document(Body):
    model_config = ConfigDict(
        from_attributes=True,
        ser_json_inf_nan="strings",  # JSON has no number for them
    )


class BatchingBody(_Document):
    """Whether requests of different clients may be computed as one batch."""

    allowed: bool
    reason: str
    rows: int
    """Of a batch, at most: more do not pay on this machine. 1 is no batches."""


class PlacementBody(_Document):
    """Where the version runs."""

    provider: str
    nodes: dict[str, int]
    """Of the optimized graph, how many run on each provider."""
    lowered: list[str]
    """Nodes that were rewritten because the provider has no kernel for them."""
    passed_over: list[str]
    """Providers that were wanted more, each with the reason why they are not used."""


class GoldenBody(_Document):
    """The golden samples, run again here when the version was loaded; each agreed."""

    samples: int
    max_abs_error: float
    replayed: datetime


class EstablishedBody(_Document):
    """What was established here."""

    created: datetime
    seconds: float
    """That it took."""
    thorough: bool
    """Whether every check was made, or only what the certificate needs."""
    kept: bool
    """Whether it was found in the cache, established by an earlier start."""
    not_kept: str
    """Why it could not be kept for the next start; empty if it was."""
    normserve: str
    """The version of NormServe whose checks these are."""
    runtime: str
    provider: str
    device: str
    threads: int
    tuning: str
    """What its session is tuned to; empty where nothing is."""
    options: dict[str, str]
    """Of the provider, and what it is allowed."""
    findings: list[Finding]
    certificate: BatchCertificate
    certificate_sha256: str
    """By which the provenance of replies names it."""
    tried_sizes: list[int]
    """Rows of the batches that were tried for the certificate."""
    tried_neighbours: list[Neighbours]
    """What stood beside a row in them."""


class ExportedBody(_Document):
    """What the exporter found out, on its own machine."""

    source: str
    created: datetime
    findings: list[Finding]
    allowed: list[str]
    """Checks whose failure was allowed."""
    certificate: BatchCertificate | None


class LiveOutputBody(_Document):
    """All live comparisons of one output."""

    output: str
    against: Against
    """``solo``: the answer with what each row gives alone. ``reference``: the same rows on the CPU
    without optimizations."""
    compared: int
    exceeded: int
    """Comparisons that were beyond the tolerance."""
    worst_error: float
    """Furthest beyond its tolerance, or nearest to it; infinite where there was nothing to subtract
    (NaN against a number)."""
    tolerance: float
    """What was allowed for that one, absolute."""
    reason: str
    """Why it is beyond; empty where it is not."""


class LiveBody(_Document):
    """What the canary has seen of live requests since the version was loaded."""

    fraction: Annotated[float, Field(ge=0, le=1)]
    """Of the requests, that are drawn; 0 where the canary is off."""
    compared: int
    dropped: int
    """Drawn and not compared, because too much waited already."""
    failed: int
    """That could not be computed a second time."""
    failure: str
    """Why the last of them could not."""
    outputs: list[LiveOutputBody]


class ConsistencyBody(_Document):
    """Whether a version answers as it should, as far as that is known on this machine."""

    model_name: str
    model_version: str
    model_sha256: str
    state: Phase
    reason: str
    """Why it is in that state, where the state does not say enough."""
    batching: BatchingBody
    placement: PlacementBody
    golden: GoldenBody | None
    """None for a plain file, which has no golden samples."""
    established: EstablishedBody | None
    """None until it is; while a new examination runs, what the last one found."""
    exported: ExportedBody | None
    """None for a plain file."""
    live: LiveBody

    @classmethod
    def of(cls, consistency: Consistency, *, fraction: float) -> "ConsistencyBody":
        """The document of a version, as it is now.

        Args:
            consistency: of the version.
            fraction: of the requests, that the canary draws.
        """
        status, seen = consistency.status, consistency.live.snapshot
        report = status.report
        return cls(
            model_name=consistency.source.name,
            model_version=str(consistency.source.version),
            model_sha256=consistency.source.model_sha256,
            state=status.phase,
            reason=status.reason,
            batching=BatchingBody.model_validate(consistency.batching),
            placement=_placement(consistency.placement),
            golden=_golden(consistency.golden),
            established=None
            if report is None
            else _established(report, kept=status.is_kept, not_kept=status.not_kept),
            exported=_exported(consistency.exported),
            live=LiveBody(
                fraction=fraction,
                compared=seen.compared,
                dropped=seen.dropped,
                failed=seen.failed,
                failure=seen.failure,
                outputs=list(map(_live_output, seen.outputs)),
            ),
        )


def _placement(placement: Placement) -> PlacementBody:
    return PlacementBody(
        provider=placement.provider,
        nodes=dict(placement.nodes),
        lowered=list(placement.lowered),
        passed_over=list(placement.passed_over),
    )


def _golden(golden: Golden | None) -> GoldenBody | None:
    return None if golden is None else GoldenBody.model_validate(golden)


def _established(report: Report, *, kept: bool, not_kept: str) -> EstablishedBody:
    key = report.key
    return EstablishedBody(
        created=report.created,
        seconds=report.seconds,
        thorough=report.thorough,
        kept=kept,
        not_kept=not_kept,
        normserve=key.normserve,
        runtime=key.runtime,
        provider=key.provider,
        device=key.device,
        threads=key.threads,
        tuning=key.tuning,
        options=key.options,
        findings=list(report.findings),
        certificate=report.certificate,
        certificate_sha256=report.certificate.sha256,
        tried_sizes=list(report.certificate.sizes),
        tried_neighbours=list(report.certificate.neighbours),
    )


def _exported(exported: Exported | None) -> ExportedBody | None:
    return None if exported is None else ExportedBody.model_validate(exported)


def _live_output(seen: LiveOutput) -> LiveOutputBody:
    return LiveOutputBody(
        output=seen.output,
        against=seen.against,
        compared=seen.compared,
        exceeded=seen.exceeded,
        worst_error=seen.worst.error,
        tolerance=seen.worst.tolerance,
        reason=seen.worst.reason,
    )
