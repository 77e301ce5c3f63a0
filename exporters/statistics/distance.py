"""How far apart two results of one model are, in parts of their size. Decides nothing."""

from collections.abc import Mapping

import torch

__all__ = ["distance", "largest_distance"]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The relative distance of a result from another.

    Args:
        one: any shape and type.
        other: what the distance is relative to.

    Returns:
        For floats ‖one - other‖ / ‖other‖, Euclidean over all elements; for other types the part of
        the elements that differ. Elements that are equal, or both NaN, add nothing. Infinite where
        shapes differ, where only one is finite, or where ‖other‖ is 0 and they differ.
    """
    if one.shape != other.shape:
        return float("inf")
    if not other.is_floating_point() and not other.is_complex():
        return float((one != other).double().mean()) if other.numel() else 0.0
    if torch.equal(one, other):
        return 0.0
    wide = torch.complex128 if other.is_complex() else torch.float64
    a, b = one.detach().to(wide), other.detach().to(wide)
    same = (a == b) | (a.isnan() & b.isnan())
    moved = torch.linalg.vector_norm((a - b).masked_fill(same, 0))
    size = torch.linalg.vector_norm(b.masked_fill(~b.isfinite(), 0))
    if moved == 0:
        return 0.0
    return float(moved / size) if moved.isfinite() and size > 0 else float("inf")


def largest_distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The largest distance of any output that both have; infinite where one lacks some."""
    if one.keys() != other.keys():
        return float("inf")
    return max(distance(one[name], other[name]) for name in other)
