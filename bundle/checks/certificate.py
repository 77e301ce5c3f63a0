"""What is certified of a model's batches. A document; how it is found out is elsewhere."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bundle.checks.neighbours import Neighbours
from bundle.checks.operators import Operator
from bundle.checks.reach import Standing
from bundle.comparison import Tolerance

__all__ = ["BatchCertificate", "Cell", "Verdict", "Witness"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Verdict(StrEnum):
    """Whether rows of different requests may share a batch."""

    BITWISE = "bitwise"
    """No answer moved by a bit, and no operator is known to reach over the batch."""
    WITHIN_NOISE = "within-noise"
    """Answers moved by rounding: other batch sizes take other kernels."""
    DEPENDENT = "dependent"
    """An answer depends on its neighbours, its place or the batch's size, or may do so."""
    NOT_BATCHABLE = "not-batchable"
    """There is no batch to share: a tensor without a batch axis, a fixed size …"""


class Cell(_Part):
    """All batches of one size with one kind of neighbours.

    Attributes:
        size: rows of each batch.
        neighbours: of which kind.
        source: whether the rows come from samples or were drawn.
        rows: how many were compared with what they give alone.
        worst: the largest difference of any output element; infinite where there was nothing to
            subtract (another shape, NaN against a number).
    """

    size: int
    neighbours: Neighbours
    source: Literal["real", "random"]
    rows: int
    worst: float


class Witness(_Part):
    """The row that proved a dependence.

    Attributes:
        source: where the row is from.
        row: its number in the pool of rows.
        size: of the batch.
        place: its place in the batch.
        neighbours: that stood beside it.
        output: the output that moved.
        index: of the element that moved most, within the row.
        alone: its value when the row is alone.
        batched: its value in the batch.
    """

    source: Literal["real", "random"]
    row: int
    size: int
    place: int
    neighbours: Neighbours
    output: str
    index: tuple[int, ...]
    alone: str
    batched: str

    def __str__(self) -> str:
        at = "".join(f"[{i}]" for i in self.index)
        return (
            f"{self.source} row {self.row} at place {self.place} of {self.size} beside"
            f" {self.neighbours} rows: {self.output}{at} is {self.batched}, alone {self.alone}"
        )


class BatchCertificate(_Part):
    """Evidence, not proof, of whether a row's answer is its own.

    The static scan looks at what each operator may do at any batch size, the trials at what this
    runtime did on this machine, with the batches that are listed. Neither sees an input that was
    not tried, a runtime that was not run, or an operator that is listed as unknown.

    Attributes:
        verdict: the result.
        reason: one sentence, for a person.
        model_sha256: of the model file.
        runtime: name and version of what ran it.
        provider: the execution provider.
        device: what it ran on: kernels differ between processors.
        threads: of one run.
        standing: what the static scan said; None where it could not be made.
        operator: the one that reaches over the batch axis.
        unknown: operators that rows go through and that the static scan cannot reason about.
        cells: what was tried, and the worst difference in each.
        witness: the row that proved a dependence.
        noise: the largest difference of all that was tried.
        tolerances: for each float output, the noise that is allowed.
        created: when, with its time zone.
    """

    verdict: Verdict
    reason: str
    model_sha256: str
    runtime: str
    provider: str
    device: str
    threads: int
    standing: Standing | None = None
    operator: Operator | None = None
    unknown: tuple[Operator, ...] = ()
    cells: tuple[Cell, ...] = ()
    witness: Witness | None = None
    noise: float = 0.0
    tolerances: dict[str, Tolerance] = {}
    created: datetime

    @property
    def allows_batching(self) -> bool:
        """Whether rows of different requests may share a batch."""
        return self.verdict in (Verdict.BITWISE, Verdict.WITHIN_NOISE)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes that were tried."""
        return tuple(sorted({cell.size for cell in self.cells}))

    @property
    def neighbours(self) -> tuple[Neighbours, ...]:
        """The kinds of neighbours that were tried."""
        return tuple(kind for kind in Neighbours if kind in {c.neighbours for c in self.cells})
