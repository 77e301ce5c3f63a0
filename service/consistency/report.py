"""What was established of a version on this machine: a document. How it is found out is elsewhere.

It holds for its `Key` and for nothing else, and is kept in the cache under it.
"""

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from bundle.certificate import BatchCertificate
from bundle.checks.device import device_of, runtime
from bundle.comparison import Tolerance
from bundle.document import Document
from bundle.manifest import Finding
from bundle.provider_options import influences
from service.consistency.pace import Pace
from service.consistency.source import Source
from service.machine import normserve_version

__all__ = ["Key", "Report", "Yardstick"]


class Key(Document):
    """What a report holds for. If any of it changes, all is established anew.

    Attributes:
        name: of the model.
        version: of the model.
        model_sha256: of the model file and its data.
        manifest_sha256: of the manifest, which names the digests of the golden samples; None for a
            plain file.
        runtime: name and version of what runs it.
        provider: the execution provider.
        device: what that runs on.
        threads: of one run.
        tuning: what the session is tuned to, as text; empty where nothing is.
        options: of the provider, and what it is allowed.
        normserve: the version whose checks these are.
    """

    name: str
    version: int
    model_sha256: str
    manifest_sha256: str | None
    runtime: str
    provider: str
    device: str
    threads: int
    tuning: str
    options: dict[str, str]
    normserve: str

    @classmethod
    def of(cls, source: Source, *, provider: str) -> "Key":
        """The key of a version that runs on a provider, here and now."""
        return cls(
            name=source.name,
            version=source.version,
            model_sha256=source.model_sha256,
            manifest_sha256=source.manifest_sha256,
            runtime=runtime(),
            provider=provider,
            device=device_of(provider),
            threads=source.threads,
            tuning=str(source.tuning),
            options=influences(provider, source.policy, threads=source.threads),
            normserve=normserve_version(),
        )

    def fits(self, certificate: BatchCertificate) -> bool:
        """Whether a certificate was made for this."""
        return (
            certificate.model_sha256,
            certificate.runtime,
            certificate.provider,
            certificate.device,
            certificate.threads,
            certificate.tuning,
        ) == (
            self.model_sha256,
            self.runtime,
            self.provider,
            self.device,
            self.threads,
            self.tuning,
        )


class Yardstick(Document):
    """How far two right answers may be apart, for answers of any size.

    Attributes:
        tolerances: for each float output, on the inputs that the model was examined with.
        magnitudes: for each float output, its largest finite absolute value on them.
    """

    tolerances: dict[str, Tolerance]
    magnitudes: dict[str, float]

    def of(self, expected: Mapping[str, np.ndarray]) -> dict[str, Tolerance]:
        """The tolerances for an answer: wider by as much as it is larger than those examined.

        Rounding errors are relative: a network whose answers are ten times as large rounds ten
        times as coarsely.
        """
        return {
            name: self._scaled(name, expected[name]) for name in self.tolerances if name in expected
        }

    def _scaled(self, name: str, expected: np.ndarray) -> Tolerance:
        tolerance, usual = self.tolerances[name], self.magnitudes[name]
        values = expected.astype(np.float64)
        largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
        if not usual or largest <= usual:
            return tolerance
        return Tolerance(
            atol=tolerance.atol * largest / usual,
            rtol=tolerance.rtol,
            source=f"{tolerance.source}; x {largest / usual:.3g}, as the answer is larger",
        )


class Report(Document):
    """What was established of a version.

    Attributes:
        key: what it holds for.
        created: when, with its time zone.
        seconds: that it took.
        thorough: whether every check was made that needs no torch.
        findings: of the checks.
        certificate: whether rows of different requests may share a batch.
        yardstick: None where no input is known that the model computes.
        paces: how quick batches are, where they are allowed; rising.
    """

    key: Key
    created: datetime
    seconds: float
    thorough: bool
    findings: tuple[Finding, ...]
    certificate: BatchCertificate
    yardstick: Yardstick | None
    paces: tuple[Pace, ...]
