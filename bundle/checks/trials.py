"""Rows alone against the same rows in batches: what this runtime really does on this machine."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bundle.certificate import Cell, Neighbours, Witness
from bundle.checks.batch import NotBatchable
from bundle.checks.neighbours import Batch, batches
from bundle.checks.rows import Pool
from bundle.comparison import OutputComparison, Tolerance, compare
from bundle.errors import BundleError
from bundle.opener import OpenModel

__all__ = ["POOL_ROWS", "SIZES", "Answers", "Trials", "run_trials", "solo"]

POOL_ROWS = 8
"""Rows of a pool, and the largest batch."""

SIZES = (3, 2, 5, POOL_ROWS)
"""Of batches, those that matter most first."""
_FIRST = (Neighbours.DISTINCT, Neighbours.NAN, Neighbours.LOUD)
"""What moves most networks."""
_FEWEST_ROWS = 3

Answers = Sequence[Mapping[str, np.ndarray]]
"""For each row of a pool, what the model gives for it alone."""


@dataclass(slots=True)
class Trials:
    """What was tried so far.

    Attributes:
        cells: the worst difference for each size, kind of neighbours and source.
        witness: the first row that moved beyond its tolerance.
        is_bitwise: whether no row moved at all.
    """

    cells: list[Cell] = field(default_factory=list)
    witness: Witness | None = None
    is_bitwise: bool = True

    @property
    def noise(self) -> float:
        """The largest difference of all."""
        return max((cell.worst for cell in self.cells), default=0.0)


@dataclass(frozen=True, slots=True)
class _Moved:
    """The worst of one batch."""

    comparison: OutputComparison
    target: int
    alone: str
    batched: str

    @property
    def distance(self) -> float:
        error = self.comparison.max_abs_error
        if error is None or (not self.comparison.passed and error == 0):
            return float("inf")
        return error


def solo(opened: OpenModel, pool: Pool, *, seconds: float) -> tuple[Pool, Answers]:
    """Each row of a pool by itself, until the model refuses one that was made up.

    Args:
        opened: the model.
        pool: the rows.
        seconds: when they are over, the rest of the pool is left out, but for three rows.

    Returns:
        The rows that were run, and what the model gave for each.

    Raises:
        NotBatchable: the model does not take a single row, or gives an output that has none.
    """
    answers: list[Mapping[str, np.ndarray]] = []
    end = time.monotonic() + seconds
    for row in range(pool.rows):
        if row >= _FEWEST_ROWS and time.monotonic() > end:
            break
        try:
            answer = opened.run(pool.take([row]))
        except BundleError as err:
            if answers:
                break
            raise NotBatchable(f"the model does not run with one row: {err}") from err
        _require_rows(answer, 1)
        answers.append(answer)
    return pool.first(len(answers)), answers


def run_trials(
    opened: OpenModel,
    tried: Sequence[tuple[Pool, Answers]],
    *,
    sizes: Sequence[int],
    tolerances: Mapping[str, Tolerance],
    thorough: bool,
    seconds: float,
    seed: int,
) -> Trials:
    """Compare rows in batches with what they give alone, until one moves beyond its tolerance.

    Args:
        opened: the model.
        tried: pools with the answers of their rows alone.
        sizes: of batches.
        tolerances: for each float output.
        thorough: whether hostile neighbours are tried whatever it costs.
        seconds: when they are over, no more is tried than the smallest batches.
        seed: of random orders.

    Raises:
        NotBatchable: the model does not run with several rows, or an output does not have one row
            for each.
    """
    trials = Trials()
    end = time.monotonic() + seconds
    for pool, answers, neighbours, size in _plan(tried, sizes):
        is_due = size == sizes[0] and neighbours in (_FIRST if thorough else _FIRST[:1])
        if time.monotonic() > end and not is_due:
            continue
        generator = np.random.default_rng((seed, size))
        rows, worst = 0, 0.0
        for batch in batches(pool, neighbours, size=size, generator=generator):
            result = _run(opened, batch, size, neighbours)
            if result is None:
                continue
            rows += len(batch.targets)
            moved = _compare(result, batch, answers, tolerances)
            if moved is None:
                continue
            trials.is_bitwise = False
            worst = max(worst, moved.distance)
            if not moved.comparison.passed:
                trials.witness = _witness(moved, batch, pool, neighbours, size)
                break
        if rows:
            trials.cells.append(
                Cell(size=size, neighbours=neighbours, source=pool.source, rows=rows, worst=worst)
            )
        if trials.witness is not None:
            break
    return trials


def _plan(
    tried: Sequence[tuple[Pool, Answers]], sizes: Sequence[int]
) -> Iterator[tuple[Pool, Answers, Neighbours, int]]:
    """Small batches first, and what moves most networks first."""
    kinds = [*_FIRST, *(kind for kind in Neighbours if kind not in _FIRST)]
    for size in sizes:
        for pool, answers in tried:
            for neighbours in kinds:
                yield pool, answers, neighbours, size


def _run(
    opened: OpenModel, batch: Batch, size: int, neighbours: Neighbours
) -> dict[str, np.ndarray] | None:
    """The batch's outputs, or None where the model refuses a hostile neighbour even alone."""
    try:
        result = opened.run(batch.feeds)
    except BundleError as err:
        if _refuses_a_row(opened, batch, size):
            return None
        raise NotBatchable(
            f"the model does not run with {size} rows beside {neighbours} ones: {err}"
        ) from err
    _require_rows(result, size)
    return result


def _refuses_a_row(opened: OpenModel, batch: Batch, size: int) -> bool:
    for row in range(size):
        if row not in batch.targets:
            try:
                opened.run({name: array[row : row + 1] for name, array in batch.feeds.items()})
            except BundleError:
                return True
    return False


def _require_rows(outputs: Mapping[str, np.ndarray], size: int) -> None:
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != size:
            raise NotBatchable(
                f"output '{name}' has shape {array.shape} for {size} rows: its axis 0 is no batch"
                " axis"
            )


def _compare(
    result: Mapping[str, np.ndarray],
    batch: Batch,
    answers: Answers,
    tolerances: Mapping[str, Tolerance],
) -> _Moved | None:
    """The output that moved most; None if all are the same, bit for bit."""
    places, rows = list(batch.targets), list(batch.targets.values())
    worst: _Moved | None = None
    for name, array in result.items():
        actual = array[places]
        parts = [answers[row][name] for row in rows]
        strange = [i for i, part in enumerate(parts) if part.shape[1:] != actual.shape[1:]]
        if not strange and _is_same(np.concatenate(parts), actual):
            continue
        expected = parts[strange[0]] if strange else np.concatenate(parts)
        (comparison,) = compare({name: expected}, {name: actual}, tolerances)
        if strange:
            shapes = f"of shape {expected.shape[1:]}", f"of shape {actual.shape[1:]}"
            return _Moved(comparison, places[strange[0]], *shapes)
        index = comparison.worst_index or (0,)
        moved = _Moved(
            comparison, places[index[0]], alone=comparison.expected, batched=comparison.actual
        )
        if not comparison.passed:
            return moved
        if worst is None or moved.distance > worst.distance:
            worst = moved
    return worst


def _is_same(expected: np.ndarray, actual: np.ndarray) -> bool:
    if expected.shape != actual.shape:
        return False
    if expected.dtype.kind not in "fV":
        return bool((expected == actual).all())
    equal = (expected == actual) & (np.signbit(expected) == np.signbit(actual))
    return bool((equal | (np.isnan(expected) & np.isnan(actual))).all())


def _witness(moved: _Moved, batch: Batch, pool: Pool, neighbours: Neighbours, size: int) -> Witness:
    comparison = moved.comparison
    return Witness(
        source=pool.source,
        row=batch.targets[moved.target],
        size=size,
        place=moved.target,
        neighbours=neighbours,
        output=comparison.name,
        index=(comparison.worst_index or (0,))[1:],
        alone=moved.alone,
        batched=moved.batched,
    )
