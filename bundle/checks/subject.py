"""What a check looks at: a model, and what is known of it. Checks nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from bundle.certificate import BatchCertificate
from bundle.digest import model_sha256
from bundle.errors import ModelInvalid
from bundle.golden import read_samples
from bundle.manifest import DimensionRange, Manifest
from bundle.opener import OpenModel, open_model
from bundle.providers import ProviderPolicy
from bundle.store import Bundle
from bundle.tuning import AS_IT_COMES, SessionTuning

__all__ = ["Feeds", "Subject"]

Feeds = Mapping[str, np.ndarray]
"""One run's inputs by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model under examination.

    Attributes:
        model: a file (external data beside it), or a model in memory with its data inside.
        manifest: what its exporter says of it; None for a plain ONNX file.
        policy: where it is to run.
        threads: of one run.
        tuning: of its session.
        inputs: real inputs: golden samples, reference inputs; may be empty.
        certificate: the batch certificate, where it has just been established for this subject.
        seed: of everything random.
    """

    model: Path | onnx.ModelProto
    manifest: Manifest | None = None
    policy: ProviderPolicy = ProviderPolicy.CPU
    threads: int = 1
    tuning: SessionTuning = AS_IT_COMES
    inputs: tuple[Feeds, ...] = ()
    certificate: BatchCertificate | None = None
    seed: int = 20_171_120

    @classmethod
    def of_bundle(
        cls,
        bundle: Bundle,
        *,
        policy: ProviderPolicy = ProviderPolicy.CPU,
        threads: int = 1,
        tuning: SessionTuning = AS_IT_COMES,
    ) -> "Subject":
        """A bundle with its golden samples.

        Raises:
            SamplesInvalid: a golden sample cannot be read.
        """
        manifest = bundle.manifest
        samples = read_samples(bundle.path, manifest.inputs, manifest.outputs)
        return cls(
            model=bundle.model_path,
            manifest=manifest,
            policy=policy,
            threads=threads,
            tuning=tuning,
            inputs=tuple(sample.inputs for sample in samples),
        )

    def open(self, *, threads: int | None = None, optimize: bool = True) -> OpenModel:
        """The model as it is served, or with other threads or without optimizations.

        Raises:
            ModelInvalid: ONNX Runtime refuses it.
            ProviderUnavailable: the policy requires a provider that is not there.
        """
        return open_model(
            self.model,
            policy=self.policy,
            threads=self.threads if threads is None else threads,
            tuning=self.tuning,
            optimize=optimize,
        )

    def proto(self) -> onnx.ModelProto:
        """The model with its weights inside.

        Raises:
            ModelInvalid: the file cannot be read, or its data cannot be held in memory.
        """
        if isinstance(self.model, onnx.ModelProto):
            return self.model
        try:
            return onnx.load_model(self.model)
        except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as err:
            raise ModelInvalid(f"'{self.model}' cannot be read whole: {err}") from err

    def sha256(self) -> str:
        """The digest of the model: of its file, with that of its external data where it has any.

        Raises:
            ModelInvalid: a file cannot be read.
        """
        return model_sha256(self.model)

    def range_of(self, dimension: str) -> DimensionRange:
        """The sizes that a named dimension may have, as far as it is known."""
        known = {} if self.manifest is None else self.manifest.dimensions
        return known.get(dimension, DimensionRange())
