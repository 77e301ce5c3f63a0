"""``len(x)`` of a tensor while a model is traced. Not for: other ways to make a number of a size.

Python wants an int of ``len``, so that the tracer must take the size of the example for the only
one; ``x.shape[0]`` is the same number and may stay a symbol.
"""

import builtins
from collections.abc import Iterator, Sized
from contextlib import contextmanager

import torch

__all__ = ["symbolic_lengths"]


@contextmanager
def symbolic_lengths() -> Iterator[None]:
    """Let ``len`` of a tensor be its ``shape[0]``, a symbol where that size is dynamic.

    It is the builtin that is replaced meanwhile, because a model may call helpers of any file. What
    it gives for everything but a traced tensor of a dynamic size is what it always gives, so that
    other threads see no difference.
    """
    length = builtins.len

    def symbolic(sized: Sized) -> int:
        if isinstance(sized, torch.Tensor) and sized.ndim:
            return sized.shape[0]
        return length(sized)

    builtins.len = symbolic
    try:
        yield
    finally:
        builtins.len = length
