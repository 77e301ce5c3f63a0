"""Does a row's answer depend on its neighbours, its place, or the batch's size? The certificate.

Explained in ``docs/checks/batch-invariance.md``.
"""

from bundle.certificate import BatchCertificate, Verdict
from bundle.checks.certify import certify
from bundle.checks.subject import Subject
from bundle.comparison import Tolerance
from bundle.manifest import Finding

__all__ = ["NAME", "check", "finding_of"]

NAME = "batch-invariance"


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
            return Finding(
                check=NAME,
                status="fail",
                measured=certificate.noise,
                tolerance=_loosest(certificate),
                meaning=f"a row's answer is not its own: {certificate.reason}",
                remedy="replace the operator by one that stays within a row; until then, one"
                " request a batch. If axis 0 is no batch, name it for what it is at the export:"
                " dynamic_shapes={'x': {0: 'length', 1: 'batch'}}",
            )
        case Verdict.BITWISE | Verdict.WITHIN_NOISE:
            return Finding(
                check=NAME,
                status="pass",
                measured=certificate.noise,
                tolerance=_loosest(certificate),
                meaning=f"evidence, not proof: {certificate.reason} (batches of {tried})",
            )


def _loosest(certificate: BatchCertificate) -> Tolerance | None:
    tolerances = certificate.tolerances.values()
    return max(tolerances, key=lambda tolerance: tolerance.atol, default=None)
