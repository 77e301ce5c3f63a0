"""The trials of a batch certificate as a table: kinds of neighbours down, batch sizes across."""

import math
from dataclasses import dataclass
from typing import Literal

from bundle.certificate import BatchCertificate, Cell

__all__ = ["Matrix", "MatrixCell", "matrix_of"]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """All batches of one size with one kind of neighbours.

    Attributes:
        cell: what was measured; None where that was not tried.
        state: ``equal``: bit for bit; ``noise``: within the widest tolerance; ``apart``: not.
        is_witness: whether the row that proved a dependence was in one of these batches.
        is_first: whether it is the first of its source.
    """

    cell: Cell | None
    state: Literal["equal", "noise", "apart", "untried"]
    is_witness: bool
    is_first: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """A table of trials.

    Attributes:
        columns: sources of rows, each with the batch sizes that were tried with it.
        rows: kinds of neighbours, each with a cell for every column.
        fewest: rows compared in the cell with the fewest.
        most: rows compared in the cell with the most.
    """

    columns: tuple[tuple[str, tuple[int, ...]], ...]
    rows: tuple[tuple[str, tuple[MatrixCell, ...]], ...]
    fewest: int
    most: int


def matrix_of(certificate: BatchCertificate) -> Matrix:
    """Lay the trials out; every kind, source and size that occurs gets its place."""
    cells = {(c.neighbours, c.source, c.size): c for c in certificate.cells}
    sources = sorted({c.source for c in certificate.cells}, reverse=True)  # real ones first
    columns = tuple(
        (source, tuple(sorted({c.size for c in certificate.cells if c.source == source})))
        for source in sources
    )
    rows = tuple(
        (
            kind.value,
            tuple(
                _cell(certificate, cells.get((kind, source, size)), is_first=size == sizes[0])
                for source, sizes in columns
                for size in sizes
            ),
        )
        for kind in certificate.neighbours
    )
    compared = [cell.rows for cell in certificate.cells] or [0]
    return Matrix(columns=columns, rows=rows, fewest=min(compared), most=max(compared))


def _cell(certificate: BatchCertificate, cell: Cell | None, *, is_first: bool) -> MatrixCell:
    if cell is None:
        return MatrixCell(cell=None, state="untried", is_witness=False, is_first=is_first)
    allowed = max((t.atol for t in certificate.tolerances.values()), default=0.0)
    witness = certificate.witness
    return MatrixCell(
        cell=cell,
        state="equal"
        if cell.worst == 0
        else "noise"
        if math.isfinite(cell.worst) and cell.worst <= allowed
        else "apart",
        is_witness=witness is not None
        and (witness.neighbours, witness.source, witness.size)
        == (cell.neighbours, cell.source, cell.size),
        is_first=is_first,
    )
