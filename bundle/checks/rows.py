"""Rows to try a model with: real ones from samples, random ones within the declared shapes.

Not for: putting them together to batches (`bundle.checks.neighbours`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bundle.checks.subject import Feeds, Subject
from bundle.errors import BundleError, InputInvalid
from bundle.opener import OpenModel
from bundle.tensors import Datatype, TensorSpec

__all__ = ["Pool", "pools", "synthetic_feeds"]

_SIZES = (8, 16, 32, 64, 4, 128, 7, 224, 1, 2, 3)
"""Tried in turn for dimensions that no sample gives a size for."""
_MASK = "mask"

Source = Literal["real", "random"]


class Computes(Protocol):
    """A model that runs, here or on a server."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes."""
        ...

    def run(self, feeds: Feeds, /) -> object:
        """See `bundle.OpenModel.run`; raises a `bundle.BundleError` for what it cannot compute."""
        ...


@dataclass(frozen=True, slots=True)
class Pool:
    """Some rows that a model takes.

    Attributes:
        source: whether they come from samples or were drawn.
        arrays: for each input, (rows, …).
    """

    source: Source
    arrays: Feeds

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.arrays.values())))

    def first(self, rows: int) -> "Pool":
        """The first few of them."""
        return Pool(self.source, {name: array[:rows] for name, array in self.arrays.items()})

    def take(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Some of the rows, as a batch."""
        return {name: array[list(indices)] for name, array in self.arrays.items()}


def pools(subject: Subject, opened: OpenModel, *, rows: int) -> tuple[Pool, ...]:
    """Real rows, where the subject has samples, and random rows of the same shape.

    Args:
        subject: may have samples.
        opened: takes inputs whose axis 0 is the batch.
        rows: in each pool. Where samples hold fewer, the rest are real rows with their elements in
            another order.

    Raises:
        InputInvalid: there are no samples, and no input was found that the model can compute.
    """
    generator = np.random.default_rng(subject.seed)
    real = _real_rows(subject, opened.inputs, rows, generator)
    if real is None:
        feeds = synthetic_feeds(subject, opened, rows=rows)
        return (Pool("random", feeds),)
    drawn = {
        spec.name: _draw(spec, real[spec.name].shape, generator, like=real[spec.name])
        for spec in opened.inputs
    }
    return (Pool("real", real), Pool("random", drawn))


def synthetic_feeds(subject: Subject, opened: Computes, *, rows: int) -> dict[str, np.ndarray]:
    """Random inputs within the declared shapes, of which the model is known to compute them.

    Floats are drawn from a standard normal distribution; integers are 0 or 1, which every
    vocabulary has; masks are all ones; strings are a letter.

    Args:
        subject: says how long its dimensions may be.
        opened: the model.
        rows: of dynamic leading axes.

    Raises:
        InputInvalid: nothing that was tried can be computed.
    """
    generator = np.random.default_rng(subject.seed)
    refused: BundleError | None = None
    for shapes in _shapes(subject, opened.inputs, rows):
        feeds = {
            spec.name: _draw(spec, shapes[spec.name], generator, like=None)
            for spec in opened.inputs
        }
        try:
            opened.run(feeds)
        except BundleError as err:
            refused = err
        else:
            return feeds
    raise InputInvalid(
        "no input was found that the model can compute; give samples of what it takes"
        f" ({refused or 'its declared sizes contradict each other'})."
    ) from refused


def _shapes(
    subject: Subject, inputs: Sequence[TensorSpec], rows: int
) -> Iterator[Mapping[str, tuple[int, ...]]]:
    seen = set()
    for size in _SIZES:
        shapes = {
            spec.name: tuple(
                _length(subject, dimension, rows if axis == 0 else size)
                for axis, dimension in enumerate(spec.shape)
            )
            for spec in inputs
        }
        key = tuple(shapes.values())
        if key not in seen:
            seen.add(key)
            yield shapes


def _length(subject: Subject, dimension: int | str, wanted: int) -> int:
    if isinstance(dimension, int):
        return dimension
    allowed = subject.range_of(dimension)
    longest = wanted if allowed.maximum is None else min(wanted, allowed.maximum)
    return max(longest, allowed.minimum)


def _real_rows(
    subject: Subject, inputs: Sequence[TensorSpec], rows: int, generator: np.random.Generator
) -> dict[str, np.ndarray] | None:
    samples = [
        sample
        for sample in subject.inputs
        if sample.keys() == {spec.name for spec in inputs}
        and len({len(array) for array in sample.values() if array.ndim} - {0}) == 1
        and all(array.ndim for array in sample.values())
    ]
    if not samples:
        return None
    first = samples[0]
    alike = [s for s in samples if all(s[n].shape[1:] == first[n].shape[1:] for n in first)]
    whole = {name: np.concatenate([s[name] for s in alike])[:rows] for name in first}
    have = len(next(iter(whole.values())))
    return {
        name: np.concatenate(
            [array, *(_shuffled(array[i % have], name, generator)[None] for i in range(have, rows))]
        )
        for name, array in whole.items()
    }


def _shuffled(row: np.ndarray, name: str, generator: np.random.Generator) -> np.ndarray:
    """A row with its elements in another order: each is one that the model may get."""
    if _MASK in name.lower():
        return row
    row = np.asarray(row)  # of a vector of strings it is a string
    elements = generator.permutation(row.ravel()).reshape(row.shape)
    if Datatype.from_numpy(row.dtype).is_float:
        return (elements * generator.uniform(0.5, 1.0)).astype(row.dtype)
    return elements


def _draw(
    spec: TensorSpec,
    shape: tuple[int, ...],
    generator: np.random.Generator,
    *,
    like: np.ndarray | None,
) -> np.ndarray:
    kind = spec.datatype
    if kind is Datatype.BYTES:
        if like is not None:
            return generator.choice(like.ravel(), shape)
        return np.full(shape, b"a", object)
    if _MASK in spec.name.lower() and not kind.is_float:
        return np.ones(shape, kind.numpy) if like is None else like
    if not kind.is_float:
        low, high = (0, 1) if like is None or not like.size else (int(like.min()), int(like.max()))
        return generator.integers(low, high, shape, np.int64, endpoint=True).astype(kind.numpy)
    drawn = generator.standard_normal(shape)
    if like is not None and like.size:
        finite = like.astype(np.float64)
        finite = finite[np.isfinite(finite)]
        drawn = drawn * finite.std() + finite.mean() if finite.size else drawn
    return drawn.astype(kind.numpy)
