"""At which sizes of its dynamic dimensions to look at a model. Not for: naming them, tracing.

torch.export takes what it cannot tell from the example for granted: a batch of 1 broadcasts and is
baked in; two dimensions of the same size may be taken for the same one. So the example is resized
before it is traced: every named dimension gets a size of its own, never 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from exporters.dimensions import Dimension, Dimensions

__all__ = ["resize", "sizes_to_trace", "sizes_to_verify"]

Accepts = Callable[[Mapping[str, int]], bool]
"""Whether the model in torch runs with these sizes of its dimensions."""

_BATCHES_TO_VERIFY = (1, 2, 3, 5)
_BATCHES_TO_TRACE = (7, 5, 11, 3, 2, 6, 4, 8, 12, 16)
_SIZES_TO_VERIFY = 2
_STEPS = (1, 2, 3, 4, 8, 16, 32, 64, 128)


def resize(
    tensors: Sequence[torch.Tensor], dimensions: Dimensions, sizes: Mapping[str, int]
) -> tuple[torch.Tensor, ...]:
    """The tensors with other sizes, by repeating or leaving out what they hold along each axis."""
    complete = dimensions.complete(sizes)
    resized = []
    for original, axes in zip(tensors, dimensions.axes, strict=True):
        tensor = original
        for axis, name in axes.items():
            length, wanted = tensor.shape[axis], complete[name]
            if length != wanted:
                tensor = tensor.index_select(axis, torch.arange(wanted) % max(length, 1))
        resized.append(tensor)
    return tuple(resized)


def sizes_to_trace(
    dimensions: Dimensions, tensors: Sequence[torch.Tensor], accepts: Accepts
) -> dict[str, int]:
    """A size for each dimension that no other axis of the inputs has, and that is not 1.

    Args:
        dimensions: of the call.
        tensors: the example, whose static axes are to be avoided too.
        accepts: tells which sizes the model can do. Where it does none of the candidates, the
            example's own size stays.
    """
    taken = {
        size
        for tensor, axes in zip(tensors, dimensions.axes, strict=True)
        for axis, size in enumerate(tensor.shape)
        if axis not in axes
    }
    chosen: dict[str, int] = {}
    for dimension in dimensions.free():
        own = dimensions.sizes[dimension.name]
        for size in _candidates(dimension, own, is_batch=dimension.name in dimensions.batches()):
            if size in taken or size == 1 or not dimension.allows(size):
                continue
            if size == own or accepts(dimensions.complete({**chosen, dimension.name: size})):
                break
        else:
            size = own
        chosen[dimension.name] = size
        taken.add(size)
    return dimensions.complete(chosen)


def sizes_to_verify(
    dimensions: Dimensions, traced: Mapping[str, int], accepts: Accepts
) -> tuple[dict[str, int], ...]:
    """The sizes at which to compare: several batches, and two more sizes of every dimension.

    Sizes that the model itself does not run with are left out.
    """
    cases = [dimensions.complete({}), dimensions.complete(traced)]
    for dimension in dimensions.free():
        is_batch = dimension.name in dimensions.batches()
        own = dimensions.sizes[dimension.name]
        candidates = _BATCHES_TO_VERIFY if is_batch else tuple(_around(own))
        wanted = len(candidates) if is_batch else _SIZES_TO_VERIFY
        found = 0
        for size in candidates:
            case = dimensions.complete({dimension.name: size})
            if found < wanted and dimension.allows(size) and size != own and accepts(case):
                cases.append(case)
                found += 1
    return tuple(case for place, case in enumerate(cases) if case not in cases[:place])


def _candidates(dimension: Dimension, own: int, *, is_batch: bool) -> Iterator[int]:
    if is_batch:
        yield from _BATCHES_TO_TRACE
    yield own
    yield from _around(own)
    if dimension.range.maximum is not None:
        yield dimension.range.maximum


def _around(size: int) -> Iterator[int]:
    """Odd neighbours first; multiples of powers of two for models that downsample."""
    yield from (size + step for step in _STEPS)
    yield 2 * size
    yield from (size - step for step in _STEPS if size - step > 0)
