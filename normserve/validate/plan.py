"""How targets are examined, and the notes that are taken meanwhile. Examines nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from bundle import Finding, ProviderPolicy
from bundle.certificate import BatchCertificate
from bundle.precision import Precision
from normserve.validate.document import Found
from normserve.validate.selection import Selection

__all__ = ["Notes", "Plan", "Say"]

Say = Callable[[str], None]
"""Told what is done next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How targets are examined.

    Attributes:
        selection: the checks.
        policy: where models run.
        threads: of one run.
        seconds: what the trials of one batch certificate may take.
        precisions: to which models on disk are converted, to measure what they lose.
    """

    selection: Selection
    policy: ProviderPolicy
    threads: int
    seconds: float
    precisions: tuple[Precision, ...] = ()


@dataclass(slots=True)
class Notes:
    """What is found of one target, kept even if the examination ends before its time.

    Attributes:
        allowed: the checks whose failure was allowed when the model was exported.
        found: the findings so far.
        certificate: the batch certificate, once there is one.
    """

    allowed: frozenset[str] = frozenset()
    found: list[Found] = field(default_factory=list)
    certificate: BatchCertificate | None = None

    def take(
        self, findings: Iterable[Finding], established: Literal["now", "export"] = "now"
    ) -> None:
        """Note some findings."""
        self.found.extend(
            Found(
                **finding.model_dump(),
                established=established,
                allowed=finding.status == "fail" and finding.check in self.allowed,
            )
            for finding in findings
        )
