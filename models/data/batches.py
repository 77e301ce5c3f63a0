"""Cut named arrays into batches, and draw from them."""

import numpy as np
import numpy.typing as npt
import torch

from models.scene import Array, Arrays


def cut(size: int, **arrays: Array) -> tuple[Arrays, ...]:
    """Cut named arrays along axis 0 into requests of at most `size` items."""
    items = len(next(iter(arrays.values())))
    return tuple(
        {name: np.ascontiguousarray(array[start : start + size]) for name, array in arrays.items()}
        for start in range(0, items, size)
    )


def positions(count: int, limit: int, generator: torch.Generator) -> npt.NDArray[np.int64]:
    """Draw `count` whole numbers below `limit`."""
    return torch.randint(limit, (count,), generator=generator).numpy()


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Make a numpy generator that follows from a torch generator, and moves it on."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
