"""Does a row's answer depend on its neighbours, its place, or the batch's size? The certificate.

Explained in ``docs/checks/batch-invariance.md``.
"""

from bundle.certificate import BatchCertificate, Standing, Verdict
from bundle.checks.certify import certify
from bundle.checks.subject import Subject
from bundle.comparison import Tolerance
from bundle.manifest import Finding

__all__ = ["NAME", "check", "finding_of"]

NAME = "batch-invariance"

_IF_TAKEN_APART = (
    " If rows are put together only to be taken apart again (two inputs through one encoder, say),"
    " allow it by name: they will not be batched with others'"
)


def check(subject: Subject) -> Finding:
    """Certify the model, and say it as a finding.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    return finding_of(subject.certificate or certify(subject))


def finding_of(certificate: BatchCertificate) -> Finding:
    """What a certificate says, as a finding."""
    tried = ", ".join(map(str, certificate.sizes))
    match certificate.verdict:
        case Verdict.NOT_BATCHABLE:
            return Finding(
                check=NAME,
                status="not_applicable",
                measured=None,
                tolerance=None,
                meaning=f"rows of several requests cannot share a batch: {certificate.reason}",
                remedy="make axis 0 of every input and output a dynamic batch axis, if they are to",
            )
        case Verdict.DEPENDENT:
            is_suspicion = _is_suspicion(certificate)
            return Finding(
                check=NAME,
                status="fail",
                measured=certificate.noise,
                tolerance=_loosest(certificate),
                meaning=f"a row's answer {'may not be' if is_suspicion else 'is not'} its own:"
                f" {certificate.reason}",
                remedy="replace the operator by one that stays within a row; until then, one"
                " request a batch. If axis 0 is no batch, name it for what it is at the export:"
                " dynamic_shapes={'x': {0: 'length', 1: 'batch'}}."
                + (_IF_TAKEN_APART if is_suspicion else ""),
            )
        case Verdict.BITWISE | Verdict.WITHIN_NOISE:
            return Finding(
                check=NAME,
                status="pass",
                measured=certificate.noise,
                tolerance=_loosest(certificate),
                meaning=f"evidence, not proof: {certificate.reason} (batches of {tried})",
            )


def _is_suspicion(certificate: BatchCertificate) -> bool:
    """Whether only the scan speaks against it, which does not follow every detour."""
    return certificate.standing is Standing.REACHES and certificate.witness is None


def _loosest(certificate: BatchCertificate) -> Tolerance | None:
    tolerances = certificate.tolerances.values()
    return max(tolerances, key=lambda tolerance: tolerance.atol, default=None)
