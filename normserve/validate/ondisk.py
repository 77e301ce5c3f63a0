"""A model on disk under examination: what the checks of this package look at."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bundle import MANIFEST, Manifest, ProviderPolicy, SamplesInvalid, open_model, read_samples
from bundle.checks import Feeds, Subject
from normserve.validate.targets import DiskTarget

__all__ = ["OnDisk"]


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model file, the folder around it, and how it is to be run.

    Attributes:
        target: where it is.
        manifest: what its folder says of it; None where there is none, or none that can be read.
        policy: where it is to run.
        threads: of one run.
    """

    target: DiskTarget
    manifest: Manifest | None
    policy: ProviderPolicy
    threads: int

    @classmethod
    def of(cls, target: DiskTarget, *, policy: ProviderPolicy, threads: int) -> "OnDisk":
        """Read what there is to read. A manifest that is damaged is for the check `digests`."""
        return cls(target, _manifest(target), policy, threads)

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.target.model

    def subject(self) -> Subject:
        """The same for the checks of `bundle.checks`.

        Its inputs are those of the samples in its folder. For a bare file these are the samples
        beside it, in ONNX's own layout.

        Raises:
            ModelInvalid: ONNX Runtime refuses the model.
        """
        return Subject(
            model=self.model,
            manifest=self.manifest,
            policy=self.policy,
            threads=self.threads,
            inputs=self._inputs(),
        )

    def _inputs(self) -> tuple[Feeds, ...]:
        opened = open_model(self.model, policy=self.policy, threads=self.threads)
        try:
            samples = read_samples(self.model.parent, opened.inputs, ())
        except SamplesInvalid:
            return ()  # a bundle's are for the check `golden-samples`; a file need not have any
        return tuple(sample.inputs for sample in samples)


def _manifest(target: DiskTarget) -> Manifest | None:
    if not target.has_manifest:
        return None
    try:
        return Manifest.model_validate_json((target.model.parent / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None
