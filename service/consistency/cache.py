"""Reports kept on disk between starts. Believes no file that does not fit what it is asked for.

One hidden file a report, named after its key, straight in the folder: by default that is the model
repository, where Triton takes every folder, a hidden one too, for a model. Several servers may
share a folder: a file is whole from the moment it has its name.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import structlog
from pydantic import ValidationError

from bundle.certificate import BatchCertificate, Standing
from service.consistency.report import Key, Report

__all__ = ["Cache"]

_log = structlog.stdlib.get_logger(__name__)

_PREFIX = ".normserve-"
_MOST_BYTES = 4 * 2**20
"""No report is a hundredth of it."""


class Cache:
    """The reports in a folder.

    Args:
        folder: is made when the first report is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: Key) -> Report | None:
        """The report that was kept for a key; None where there is none that can be believed."""
        path = self._path(key)
        if not path.is_file():  # nothing, or a pipe that nobody writes to
            return None
        try:
            with path.open("rb") as stream:
                content = stream.read(_MOST_BYTES)
        except OSError as err:
            _log.warning("kept certificate ignored", file=str(path), reason=err.strerror)
            return None
        reason = ""
        try:
            report = Report.model_validate_json(content)
        except ValidationError as err:
            reason = f"it is no report: {err.errors()[0]['msg']}"
        else:
            reason = _doubt(report, key)
        if reason:
            _log.warning("kept certificate ignored", file=str(path), reason=reason)
            return None
        return report

    def write(self, report: Report) -> str:
        """Keep a report in the place of what was kept under its key.

        Returns:
            Why it could not be kept; empty if it was.
        """
        path = self._path(report.key)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=f"{_PREFIX}tmp-", dir=self._folder)
        except OSError as err:
            return f"'{self._folder}' cannot be written: {err.strerror}"
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(report.model_dump_json())
            Path(temporary).chmod(0o644)  # servers of other users may share the folder
            Path(temporary).replace(path)
        except OSError as err:
            Path(temporary).unlink(missing_ok=True)
            return f"'{path}' cannot be written: {err.strerror}"
        return ""

    def _path(self, key: Key) -> Path:
        digest = hashlib.sha256(key.model_dump_json().encode()).hexdigest()
        return self._folder / f"{_PREFIX}{key.name}-{key.version}-{digest[:32]}.json"


def _doubt(report: Report, key: Key) -> str:
    """Why a report is not believed; empty if it is."""
    if report.key != key:
        return "it is for something else"
    if not key.fits(report.certificate):
        return "its certificate is for something else"
    return _contradiction(report.certificate)


def _contradiction(certificate: BatchCertificate) -> str:
    """Why nobody can have found out what a certificate says; empty if somebody can."""
    if not certificate.allows_batching:
        return ""
    worst = max((cell.worst for cell in certificate.cells), default=None)
    if certificate.standing not in (Standing.INDEPENDENT, Standing.UNKNOWN):
        return f"it allows batching, and the scan says {certificate.standing}"
    if certificate.witness is not None:
        return f"it allows batching, and has a witness against it: {certificate.witness}"
    if worst is None:
        return "it allows batching without a trial"
    if worst != certificate.noise:
        return f"its noise is {certificate.noise:g}, and that of its trials {worst:g}"
    return ""
