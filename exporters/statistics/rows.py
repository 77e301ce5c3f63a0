"""Calibration data as rows, from which batches of any size are drawn. Not for: running a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from exporters.calls import Call, Example
from exporters.dimensions import Dimensions, declare
from exporters.errors import InputsInvalid

__all__ = ["Batch", "Rows"]

Batch = tuple[torch.Tensor, ...]
"""The tensors of one call, in the order of its names."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of several calls.

    Attributes:
        call: how tensors become arguments.
        calls: as they were given.
        batched: for each tensor, whether axis 0 counts rows; other tensors go with every batch.
        pools: the rows, those that can share a batch together, the largest pool first.
    """

    call: Call
    calls: tuple[Batch, ...]
    batched: tuple[bool, ...]
    pools: tuple[Batch, ...]

    @classmethod
    def of(cls, model: nn.Module, calls: Sequence[Example]) -> "Rows":
        """The rows of calls as a user writes them.

        Args:
            model: whose ``forward`` gives the arguments their names.
            calls: like one another; axis 0 of each tensor that has the first one's size counts
                rows.

        Raises:
            InputsInvalid: there are none, they do not fit the model, or are not built alike.
        """
        if not calls:
            raise InputsInvalid("there is no calibration data; give at least one call.")
        call = Call.of(model, calls[0])
        tensors = tuple(call.tensors(example) for example in calls)
        return cls.of_tensors(call, tensors, declare(call, tensors[0], None))

    @classmethod
    def of_tensors(cls, call: Call, calls: Sequence[Batch], dimensions: Dimensions) -> "Rows":
        """The rows of calls that are flat already.

        Args:
            call: how tensors become arguments.
            calls: at least one.
            dimensions: tell which axes are the batch: the first that is axis 0 of an input.
        """
        batch = next((axes[0] for axes in dimensions.axes if 0 in axes), None)
        batched = tuple(batch is not None and axes.get(0) == batch for axes in dimensions.axes)
        pools: list[list[Batch]] = []
        for tensors in calls:
            alike = (pool for pool in pools if _can_share(pool[0], tensors, batched))
            if any(batched):
                pool = next(alike, None)
                if pool is None:
                    pools.append(pool := [])
                pool.append(tuple(tensors))
        joined = [_join(pool, batched) for pool in pools]
        joined.sort(key=lambda pool: _count(pool, batched), reverse=True)
        return cls(call=call, calls=tuple(calls), batched=batched, pools=tuple(joined))

    @property
    def most(self) -> int:
        """The number of rows that can share a batch."""
        return _count(self.pools[0], self.batched) if self.pools else 0

    def count(self, tensors: Sequence[torch.Tensor]) -> int:
        """The number of rows of a batch; 0 where nothing counts them."""
        return _count(tensors, self.batched)

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """Different rows of the largest pool, at random.

        Args:
            size: at most `most`.
            generator: decides which.
        """
        chosen = torch.randperm(self.most, generator=generator)[:size]
        return tuple(
            tensor[chosen] if is_batched else tensor
            for tensor, is_batched in zip(self.pools[0], self.batched, strict=True)
        )


def _can_share(one: Batch, other: Batch, batched: Sequence[bool]) -> bool:
    return all(
        a.shape[1:] == b.shape[1:] if is_batched else torch.equal(a, b)
        for a, b, is_batched in zip(one, other, batched, strict=True)
    )


def _join(pool: Sequence[Batch], batched: Sequence[bool]) -> Batch:
    return tuple(
        torch.cat([tensors[place] for tensors in pool]) if is_batched else pool[0][place]
        for place, is_batched in enumerate(batched)
    )


def _count(tensors: Sequence[torch.Tensor], batched: Sequence[bool]) -> int:
    return next((len(t) for t, is_batched in zip(tensors, batched, strict=True) if is_batched), 0)
