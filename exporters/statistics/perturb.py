"""Change one number and see what moves. Knows nothing of layers, modes or normalizations.

Everything is in float64 and repeated with other random numbers: an element that happens to stay
where the mean and the deviation move it in opposite directions moves the next time. What does not
depend on the changed number is computed from the same bits, and does not move at all.
"""

import itertools
from collections.abc import Callable, Sequence

import torch

__all__ = ["SEED", "Map", "affine", "covered", "moved", "positions", "spans"]

SEED = 20_160_725
_DRAWS = 2
_MOVED = 1e-9
"""Of the largest output. One of a million elements moves a mean by a thousand times that."""

Map = Callable[[torch.Tensor], torch.Tensor]
"""A function of one float64 tensor."""


def positions(shape: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """The corners, the middles of edges and faces, and the centre of a tensor; some where many."""
    places = [sorted({0, size // 2, size - 1}) for size in shape]
    found = list(itertools.product(*places))
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(found), generator=generator)[:most].tolist()
    return [found[place] for place in sorted(order)]


def moved(function: Map, shape: Sequence[int], position: tuple[int, ...]) -> torch.Tensor:
    """Which outputs depend on one input.

    Args:
        function: of a tensor of `shape`.
        shape: of the input.
        position: of the element that is changed.

    Returns:
        Booleans in the shape of the output: whether it moved in any draw.
    """
    generator = torch.Generator().manual_seed(SEED)
    found = torch.tensor(False)  # noqa: FBT003 - a value
    for _ in range(_DRAWS):
        x = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
        before = function(x)
        x[position] += 1
        found = found | _differ(before, function(x))
    return found


def affine(function: Map, shape: Sequence[int]) -> bool:
    """Whether f(x + y) - f(x) - f(y) + f(0) is 0: no statistic of the input is in it."""
    generator = torch.Generator().manual_seed(SEED)
    x, y = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
    both, first, second = function(x + y), function(x), function(y)
    return not _differ(both - first, second - function(torch.zeros_like(x))).any()


def spans(moves: torch.Tensor, position: Sequence[int]) -> list[int]:
    """How many places moved along each axis through a position, that position among them.

    Args:
        moves: booleans, of the rank of `position`.
        position: of what was changed; it counts whether it moved or not.
    """
    found = []
    for axis, place in enumerate(position):
        line = moves[tuple(slice(None) if a == axis else p for a, p in enumerate(position))].clone()
        line[place] = True
        found.append(int(line.sum()))
    return found


def covered(moves: torch.Tensor) -> list[bool]:
    """For each axis, whether what moved covers all of it."""
    return [
        bool(moves.any(dim=tuple(a for a in range(moves.ndim) if a != axis)).all())
        if moves.ndim > 1
        else bool(moves.all())
        for axis in range(moves.ndim)
    ]


def _differ(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    scale = max(float(one.abs().max()), float(other.abs().max())) if one.numel() else 0.0
    return (one - other).abs() > _MOVED * scale
