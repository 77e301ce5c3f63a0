"""Inputs to look at a model with: like the example, in other sizes. Not for: running anything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from exporters.dimensions import Dimensions
from exporters.sizes import resize

__all__ = ["Probe", "probes", "random_like"]

_SEED = 20_150_214  # the same probes at every export


@dataclass(frozen=True, slots=True)
class Probe:
    """Inputs of one call.

    Attributes:
        label: what they are, for a message ("random inputs at batch=3").
        tensors: in the order of the call's names.
    """

    label: str
    tensors: tuple[torch.Tensor, ...]


def probes(
    example: Sequence[torch.Tensor],
    dimensions: Dimensions,
    sizes: Sequence[Mapping[str, int]],
    references: Sequence[tuple[torch.Tensor, ...]],
) -> Iterator[Probe]:
    """The example, the reference inputs as they are, and random inputs at the given sizes."""
    generator = torch.Generator().manual_seed(_SEED)
    yield Probe("the example inputs", tuple(example))
    for number, tensors in enumerate(references):
        yield Probe(f"reference inputs {number}", tensors)
    for case in sizes:
        said = ", ".join(f"{name}={size}" for name, size in case.items())
        resized = resize(example, dimensions, case)
        tensors = tuple(random_like(tensor, generator) for tensor in resized)
        yield Probe(f"random inputs at {said}" if said else "random inputs", tensors)


def random_like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random values that could stand in a tensor's place.

    Floats: normal with its mean and deviation, within its range; a constant tensor tells no range,
    so that zeros become standard normal and others uniform between 0 and their value. Integers:
    uniform within the range. What looks like a mask (booleans, integers that are all 0 or 1) is
    kept: a random one could leave a row with nothing to attend to.
    """
    if not tensor.numel():
        return tensor
    if tensor.is_floating_point():
        return _random_floats(tensor.double(), generator).to(tensor.dtype)
    if tensor.dtype is torch.bool or tensor.is_complex():
        return tensor
    low, high = int(tensor.min()), int(tensor.max())
    if low >= 0 and high <= 1:
        return tensor
    return torch.randint(low, high + 1, tensor.shape, generator=generator).to(tensor.dtype)


def _random_floats(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    finite = tensor[torch.isfinite(tensor)]
    low, high = (
        (finite.min(), finite.max()) if finite.numel() else (torch.zeros(()), torch.zeros(()))
    )
    if low == high and high == 0:
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if low == high:
        return low * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return (finite.mean() + finite.std() * noise).clamp(low, high)
