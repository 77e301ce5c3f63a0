"""Whether a bundle that was opened is what its manifest says. Opens nothing, serves nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bundle import Manifest, OutputComparison, Sample, VersionFolder, read_samples, replay
from service.consistency import Golden
from service.engine import Opened
from service.errors import LoadFailed

__all__ = ["golden_samples", "require_tensors", "verify"]


def golden_samples(folder: VersionFolder, manifest: Manifest) -> tuple[Sample, ...]:
    """The golden samples of a bundle.

    Raises:
        LoadFailed: there is none.
        SamplesInvalid: one cannot be read.
    """
    samples = read_samples(folder.path, manifest.inputs, manifest.outputs)
    if not samples:
        raise LoadFailed("the bundle has no golden sample to verify it with")
    return samples


def require_tensors(opened: Opened, manifest: Manifest) -> None:
    """The model takes and gives what its manifest declares.

    Raises:
        LoadFailed: it does not.
    """
    if (opened.inputs, opened.outputs) != (manifest.inputs, manifest.outputs):
        raise LoadFailed(
            f"the manifest declares {_tensors(manifest)}; the model file has {_tensors(opened)}"
        )


def verify(opened: Opened, manifest: Manifest, samples: Sequence[Sample]) -> Golden:
    """Run the golden samples of a bundle again.

    Raises:
        LoadFailed: a sample does not agree.
    """
    comparisons = replay(opened, samples, manifest.tolerances)
    failed = next((c for c in comparisons if not c.passed), None)
    if failed is not None:
        raise LoadFailed(
            f"output '{failed.name}' does not agree with its golden sample on"
            f" {opened.provider}: {failed.reason.rstrip('.')}"
        )
    return Golden(
        samples=len(samples), max_abs_error=_worst(comparisons), replayed=datetime.now(UTC)
    )


def _worst(comparisons: Sequence[OutputComparison]) -> float:
    return max((c.max_abs_error for c in comparisons if c.max_abs_error is not None), default=0.0)


def _tensors(of: Manifest | Opened) -> str:
    inputs, outputs = ("; ".join(map(str, specs)) for specs in (of.inputs, of.outputs))
    return f"[{inputs}] → [{outputs}]"
