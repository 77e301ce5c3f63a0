"""What is certified of a model's batches. A document; how it is found out is elsewhere."""

import hashlib
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Literal

import onnx
from pydantic import Field

from bundle.comparison import Tolerance
from bundle.document import Document

__all__ = ["BatchCertificate", "Cell", "Neighbours", "Operator", "Standing", "Verdict", "Witness"]


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


class Neighbours(StrEnum):
    """What stands beside a row in its batch."""

    DISTINCT = "distinct"
    """Other rows, forwards and backwards."""
    PERMUTED = "permuted"
    """Other rows in a random order."""
    DUPLICATES = "duplicates"
    """The row itself, and pairs of equal rows."""
    ZEROS = "zeros"
    LOUD = "loud"
    """Rows that are ten thousand times as large; the largest integers that are known valid."""
    NAN = "nan"
    INFINITE = "infinite"


class Standing(StrEnum):
    """What the static scan can say."""

    INDEPENDENT = "independent"
    """No operator reaches over the batch axis."""
    REACHES = "reaches"
    """One does."""
    UNKNOWN = "unknown"
    """An operator cannot be reasoned about."""
    UNREAD = "unread"
    """The graph could not be followed at all."""


class Operator(Document):
    """One node of a graph.

    Attributes:
        op_type: what it does (``ReduceMean`` …), with its domain unless that is ONNX's own.
        name: the node's name, or that of its first output where it has none.
        inside: the node whose body it is in (``Loop 'n4'``), outermost first; mostly none.
    """

    op_type: str
    name: str
    inside: tuple[str, ...] = ()

    @classmethod
    def of(cls, node: onnx.NodeProto, *, inside: tuple[str, ...] = ()) -> "Operator":
        """The operator of a node."""
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        name = node.name or next(iter(node.output), "")
        return cls(op_type=f"{domain}{node.op_type}", name=name, inside=inside)

    def __str__(self) -> str:
        return " in ".join([f"{self.op_type} '{self.name}'", *reversed(self.inside)])


class Cell(Document):
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


class Witness(Document):
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


class BatchCertificate(Document):
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
        tuning: what its session was tuned to, as text; empty where nothing was.
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
    tuning: str = ""
    standing: Standing | None = None
    operator: Operator | None = None
    unknown: tuple[Operator, ...] = ()
    cells: tuple[Cell, ...] = ()
    witness: Witness | None = None
    noise: float = 0.0
    tolerances: dict[str, Tolerance] = Field(default_factory=dict)
    created: datetime

    @cached_property
    def sha256(self) -> str:
        """The digest of the certificate itself, as JSON: by which others name it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

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
