"""Examine a model on disk: a bundle, a plain folder or a file. Knows no torch, starts no server."""

from dataclasses import replace

from bundle import BundleError, Finding, InputInvalid
from bundle.checks import Subject, certify, checks, run_checks
from bundle.precision import Precision, precision_finding
from bundle.precision.parity import NAME as PRECISION_PARITY
from normserve.validate.errors import Unexaminable
from normserve.validate.library import digests, file
from normserve.validate.ondisk import OnDisk
from normserve.validate.plan import Notes, Plan, Say
from normserve.validate.selection import OF_FOLDERS
from normserve.validate.targets import DiskTarget

__all__ = ["examine_disk"]

_BATCH_INVARIANCE = "batch-invariance"
_UNOPENED = (digests.NAME, file.NAME)
"""The checks of this package that can be made of a model that does not open."""


def examine_disk(target: DiskTarget, plan: Plan, notes: Notes, say: Say) -> Subject | None:
    """Everything that needs no server; last, what the exporter had found.

    A model that ONNX Runtime does not open fails the check ``file``, which is then made whether it
    was wanted or not, and nothing more of the model can be examined.

    Returns:
        The model, open to further checks; None where it does not open.

    Raises:
        Unexaminable: there is neither a model nor a manifest.
    """
    if not target.has_manifest and not target.model.exists():
        raise Unexaminable(f"there is no '{target.model}', nor a manifest.")
    on_disk = OnDisk.of(target, policy=plan.policy, threads=plan.threads)
    if on_disk.manifest is not None:
        notes.allowed = frozenset(on_disk.manifest.allowed)
    subject = _open(on_disk)
    for name in _UNOPENED if subject is None else (*_UNOPENED, *_opened()):
        if plan.selection.wants(name) or (subject is None and name == file.NAME):
            say(name)
            notes.take(OF_FOLDERS.run(on_disk, [name]))
    if subject is not None:
        subject = _certified(subject, plan, notes, say)
        for name in plan.selection.of(checks()):
            say(name)
            notes.take(run_checks(subject, [name]))
        for precision in plan.precisions:
            say(f"{PRECISION_PARITY} {precision}")
            notes.take(_in_precision(subject, precision))
    if on_disk.manifest is not None:
        at_export = on_disk.manifest.findings
        notes.take((f for f in at_export if plan.selection.wants(f.check)), "export")
    return subject


def _opened() -> list[str]:
    return [name for name in OF_FOLDERS.checks if name not in _UNOPENED]


def _open(on_disk: OnDisk) -> Subject | None:
    try:
        return on_disk.subject()
    except BundleError:
        return None  # the check `file` meets the same error, and makes a finding of it


def _certified(subject: Subject, plan: Plan, notes: Notes, say: Say) -> Subject:
    """The subject with its batch certificate, where that is wanted and can be had."""
    if not plan.selection.wants(_BATCH_INVARIANCE):
        return subject
    say(_BATCH_INVARIANCE)
    try:
        notes.certificate = certify(subject, seconds=plan.seconds)
    except BundleError:
        return subject  # the check of that name meets the same error, and makes a finding of it
    return replace(subject, certificate=notes.certificate)


def _in_precision(subject: Subject, precision: Precision) -> tuple[Finding, ...]:
    try:
        return precision_finding(subject, precision)
    except BundleError as err:
        return (
            Finding(
                check=PRECISION_PARITY,
                status="not_applicable" if isinstance(err, InputInvalid) else "fail",
                measured=None,
                tolerance=None,
                meaning=f"the check could not be made: {err}",
                remedy="make the model run, or give samples of what it takes",
            ),
        )
