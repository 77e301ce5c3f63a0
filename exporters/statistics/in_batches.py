"""A model that answers any number of rows in batches of one size. Not for: choosing the size.

A metric runs a model on whatever batches it likes. In training mode the batch size decides the
answer, so the rows are split here before they reach the model.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from exporters.errors import OutputsInvalid

__all__ = ["InBatches"]


class InBatches(nn.Module):
    """Splits the rows of its inputs, and joins the rows of what the model returns.

    Args:
        model: takes and returns tensors whose axis 0 counts rows, in any containers.
        size: of each batch; the last one is up to twice as large, never smaller, for want of rows
            to fill it.
    """

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model = model
        self.size = size

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model once for each batch.

        Raises:
            OutputsInvalid: the model returns a tensor whose axis 0 does not count rows.
        """
        leaves, structure = pytree.tree_flatten((args, kwargs))
        rows = next((len(x) for x in leaves if isinstance(x, torch.Tensor) and x.ndim), 0)
        returned = []
        for start, stop in _spans(rows, self.size):
            part = [_rows_of(leaf, rows, start, stop) for leaf in leaves]
            part_args, part_kwargs = pytree.tree_unflatten(part, structure)
            answer = self.model(*part_args, **part_kwargs)
            returned.append((stop - start, *pytree.tree_flatten(answer)))
        columns = zip(*(parts for _, parts, _ in returned), strict=True)
        counts = [count for count, _, _ in returned]
        joined = [_join(column, counts) for column in columns]
        return pytree.tree_unflatten(joined, returned[0][2])


def _spans(rows: int, size: int) -> Iterator[tuple[int, int]]:
    last = max(rows // size, 1) - 1
    for number in range(last + 1):
        yield number * size, rows if number == last else (number + 1) * size


def _rows_of(leaf: Any, rows: int, start: int, stop: int) -> Any:
    if isinstance(leaf, torch.Tensor) and leaf.ndim and len(leaf) == rows:
        return leaf[start:stop]
    return leaf


def _join(column: tuple[Any, ...], counts: list[int]) -> Any:
    if not isinstance(column[0], torch.Tensor):
        return column[0]
    if [len(part) if part.ndim else None for part in column] != counts:
        shapes = ", ".join(str(tuple(part.shape)) for part in column)
        raise OutputsInvalid(
            f"batches of {counts} rows gave tensors of shape {shapes}; a metric by batch size needs"
            " outputs whose axis 0 counts rows."
        )
    return torch.cat(column)
