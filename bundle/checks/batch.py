"""What the batch of a model is, read from its signature."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bundle.checks.subject import Subject
from bundle.tensors import UNNAMED, TensorSpec

__all__ = ["BatchRange", "NotBatchable", "batch_of"]


_ANOTHER_AXIS = re.compile(
    r"(^|[^a-z])(len|length|seq|sequence|time|times|steps?|frames?|tokens?|nodes?|edges?|points?)"
    r"($|[^a-z])",
    re.IGNORECASE,
)
"""Names that say of an axis that it is no batch. Most names say nothing: "N", "s0", "dim_0" …"""


class NotBatchable(Exception):
    """Rows of several requests cannot be one batch of this model; the message says why."""


@dataclass(frozen=True, slots=True)
class BatchRange:
    """How many rows a batch may have.

    Attributes:
        maximum: the most; None is no limit.
    """

    maximum: int | None = None

    def allows(self, size: int) -> bool:
        """Whether a batch may have so many rows."""
        return self.maximum is None or size <= self.maximum


def batch_of(subject: Subject, inputs: Sequence[TensorSpec]) -> BatchRange:
    """The batch: axis 0 of every input.

    Args:
        subject: says how long named dimensions may be.
        inputs: of the model.

    Raises:
        NotBatchable: an input has none, its size is fixed, its name says that it is another axis or
            that the batch is, it must be more than one row or may not be, or the same dimension is
            also another axis.
    """
    if not inputs:
        raise NotBatchable("the model has no inputs")
    for spec in inputs:
        if not spec.shape:
            raise NotBatchable(f"input '{spec.name}' is a scalar: it has no batch axis")
        if isinstance(spec.shape[0], int):
            raise NotBatchable(
                f"input '{spec.name}' has no batch axis: its axis 0 is fixed to {spec.shape[0]}"
            )
        _require_called_batch(spec)
    names = {str(spec.shape[0]) for spec in inputs}
    for spec in inputs:
        for axis, dimension in enumerate(spec.shape):
            if axis and dimension in names - {UNNAMED}:
                raise NotBatchable(
                    f"dimension '{dimension}' is axis {axis} of input '{spec.name}' as well as axis"
                    " 0 of an input: it is no batch"
                )
    ranges = {name: subject.range_of(name) for name in sorted(names)}
    for name, allowed in ranges.items():
        if allowed.minimum > 1:
            raise NotBatchable(
                f"dimension '{name}' is {allowed.minimum} at least: no row can be run alone"
            )
        if allowed.maximum == 1:
            raise NotBatchable(f"dimension '{name}' is 1 at most")
    limits = [allowed.maximum for allowed in ranges.values() if allowed.maximum is not None]
    return BatchRange(maximum=min(limits, default=None))


def _require_called_batch(spec: TensorSpec) -> None:
    first, *others = map(str, spec.shape)
    if _ANOTHER_AXIS.search(first):
        raise NotBatchable(f"axis 0 of input '{spec.name}' is '{first}': it is no batch")
    for axis, dimension in enumerate(others, start=1):
        if dimension.casefold().startswith("batch") and not first.casefold().startswith("batch"):
            raise NotBatchable(
                f"the batch of input '{spec.name}' is its axis {axis} ('{dimension}'), and only"
                " axis 0 can be shared"
            )
