"""Integers that a model keeps as buffers: constants of the model, written so that tracing sees it.

Not for: buffers that hold more than one number, which are data.

Some libraries keep strides and paddings so, and branch on them. To the tracer a buffer is data, and
data must not decide what is computed. There are two ways to say that it is none: as a Python number
the integer may meet a dynamic size; as a tensor that is made anew wherever the model reads it, it
may be given to functions that take only tensors. Neither does what the other does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["IntegerBuffer", "as_constant_tensors", "as_numbers", "integer_buffers"]


@dataclass(frozen=True, slots=True)
class IntegerBuffer:
    """A buffer that holds one integer or boolean.

    Attributes:
        module: that has it.
        name: its name there.
        value: a copy of it.
    """

    module: nn.Module
    name: str
    value: torch.Tensor


def integer_buffers(model: nn.Module) -> tuple[IntegerBuffer, ...]:
    """All of them in a model; changes nothing."""
    return tuple(
        IntegerBuffer(module, name, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.ndim == 0 and not buffer.is_floating_point() and not buffer.is_complex()
    )


def as_numbers(buffers: Sequence[IntegerBuffer]) -> None:
    """Let each be a Python number, in place."""
    for buffer in buffers:
        delattr(buffer.module, buffer.name)
        setattr(buffer.module, buffer.name, buffer.value.item())


def as_constant_tensors(buffers: Sequence[IntegerBuffer]) -> None:
    """Let each, after `as_numbers`, be made anew at every reading, in place."""
    by_module: dict[nn.Module, dict[str, property]] = {}
    for buffer in buffers:
        delattr(buffer.module, buffer.name)
        made = property(_maker(buffer.value.item(), buffer.value.dtype))
        by_module.setdefault(buffer.module, {})[buffer.name] = made
    for module, properties in by_module.items():
        kind = type(module)
        module.__class__ = type(kind.__name__, (kind,), properties)


def _maker(number: float, dtype: torch.dtype) -> Callable[[nn.Module], torch.Tensor]:
    return lambda module: torch.tensor(number, dtype=dtype)
