"""The sizes of batches that a device is prepared for: runs them first, and then no others.

Not for: devices whose memory is the host's, where no shape costs anything when it is first seen.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bundle import DimensionRange, Manifest, Sample
from bundle.policy import DEVICE_MEMORY
from service.batching.buckets import bucket, buckets
from service.engine import Engine, Opened
from service.engine.padding import PaddedEngine

__all__ = ["in_known_sizes", "most_rows_of", "warm"]


def warm(opened: Opened, manifest: Manifest, samples: Sequence[Sample], *, most: int) -> int:
    """Run the first golden sample's rows as batches of each size; answers are not looked at.

    Args:
        opened: the model.
        manifest: which of its tensors have a batch, and of how many rows.
        samples: of the bundle; there is one.
        most: rows of a batch that the service forms.

    Returns:
        How many sizes were run; 0 where the model has no batch, or needs no warming.

    Raises:
        BundleError: the model cannot compute one of them.
    """
    limits = _batch_of(manifest)
    if limits is None or opened.provider not in DEVICE_MEMORY:
        return 0
    sizes = [size for size in buckets(most) if size >= limits.minimum]
    for size in sizes:
        opened.run(_batch(samples[0].inputs, size))
    return len(sizes)


def in_known_sizes(
    engine: Engine, opened: Opened, *, most: int, is_allowed: Callable[[], bool]
) -> Engine:
    """The engine, with runs of those sizes where rows may be added.

    Args:
        engine: of the model.
        opened: the model.
        most: rows of a batch that the service forms.
        is_allowed: whether rows that are nobody's may be in a batch now.
    """
    if opened.provider not in DEVICE_MEMORY:
        return engine
    return PaddedEngine(engine, size=lambda rows: bucket(rows, most) if is_allowed() else rows)


def most_rows_of(manifest: Manifest) -> int | None:
    """The rows that a model's batch may have; None where there is no limit, or no batch."""
    limits = _batch_of(manifest)
    return None if limits is None else limits.maximum


def _batch_of(manifest: Manifest) -> DimensionRange | None:
    """The sizes of the dimension that begins every input; None where there is none."""
    first = {spec.shape[0] if spec.shape else None for spec in manifest.inputs}
    if len(first) != 1 or not isinstance(name := first.pop(), str):
        return None
    return manifest.dimensions.get(name, DimensionRange())


def _batch(inputs: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    return {name: np.resize(array, (rows, *array.shape[1:])) for name, array in inputs.items()}
