"""The files of a served version and how they are opened: the same in this process and a helper's.

Not for: keeping a session. Who opens a source gets a new one each time.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bundle import (
    AS_IT_COMES,
    MANIFEST,
    MODEL,
    OpenModel,
    ProviderPolicy,
    SessionTuning,
    open_model,
    read_bundle,
)
from bundle.checks import Subject
from bundle.errors import DigestMismatch, ManifestInvalid

__all__ = ["Source", "manifest_sha256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a served version comes from. Small enough to be sent to another process.

    Attributes:
        name: of the model.
        version: of the model.
        folder: of the version, absolute.
        manifest_sha256: of the manifest when it was loaded; None for a plain file.
        policy: where it runs.
        threads: of one run.
        tuning: of its session.
        model_sha256: of the model file and its data when it was loaded.
    """

    name: str
    version: int
    folder: Path
    manifest_sha256: str | None
    policy: ProviderPolicy
    threads: int
    tuning: SessionTuning = AS_IT_COMES
    model_sha256: str

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL

    def subject(self) -> Subject:
        """The version as checks look at it, read anew.

        Raises:
            BundleError: it cannot be read, or is not what was loaded.
        """
        if self.manifest_sha256 is None:
            subject = Subject(
                model=self.model_path, policy=self.policy, threads=self.threads, tuning=self.tuning
            )
        else:
            subject = Subject.of_bundle(
                read_bundle(self.folder),
                policy=self.policy,
                threads=self.threads,
                tuning=self.tuning,
            )
        self._require_unchanged(MANIFEST, manifest_sha256(self.folder), self.manifest_sha256)
        self._require_unchanged(MODEL, subject.sha256(), self.model_sha256)
        return subject

    def open(self, *, reference: bool) -> OpenModel:
        """The model in a session of its own.

        Args:
            reference: not as it is served but in the plainest way there is: on the CPU, one
                thread, no graph optimizations.

        Raises:
            BundleError: it cannot be opened, or is not what was loaded.
        """
        self._require_unchanged(MODEL, Subject(model=self.model_path).sha256(), self.model_sha256)
        if reference:
            return open_model(self.model_path, optimize=False)
        return open_model(
            self.model_path, policy=self.policy, threads=self.threads, tuning=self.tuning
        )

    def _require_unchanged(self, file: str, got: str | None, loaded: str | None) -> None:
        if got != loaded:
            raise DigestMismatch(
                f"'{self.folder / file}' was changed since it was loaded; load the model again."
            )


def manifest_sha256(folder: Path) -> str | None:
    """The digest of a version folder's manifest; None where there is none.

    Raises:
        ManifestInvalid: it cannot be read.
    """
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise ManifestInvalid(f"'{folder / MANIFEST}' cannot be read: {err.strerror}.") from err
