"""Run a model with every size of batch that its device is prepared for, before anybody asks."""

from collections.abc import Mapping, Sequence

import numpy as np

from bundle import DimensionRange, Manifest, Sample
from service.batching.buckets import buckets
from service.engine import Opened

__all__ = ["most_rows_of", "warm"]


def warm(opened: Opened, manifest: Manifest, samples: Sequence[Sample], *, most: int) -> int:
    """Run the first golden sample's rows as batches of each size; answers are not looked at.

    Args:
        opened: the model.
        manifest: which of its tensors have a batch, and of how many rows.
        samples: of the bundle; there is one.
        most: rows of a batch that the service forms.

    Returns:
        How many sizes were run; 0 where the model has no batch.

    Raises:
        BundleError: the model cannot compute one of them.
    """
    limits = _batch_of(manifest)
    if limits is None:
        return 0
    sizes = [size for size in buckets(most) if size >= limits.minimum]
    for size in sizes:
        opened.run(_batch(samples[0].inputs, size))
    return len(sizes)


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
