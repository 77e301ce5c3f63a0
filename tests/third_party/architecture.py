"""What a third-party architecture is to the tests: a model, inputs for it, and its dynamic axes.

Not for: any architecture in particular (`catalogue` has them all), or what is expected of one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

ARCHITECTURES: dict[str, Callable[[], "Architecture"]] = {}
"""Every builder by name; modules of architectures fill it when they are imported."""

TOKENS = {0: "batch", 1: "length"}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A small model with random weights, and calls of it.

    Attributes:
        model: as its library builds it; in no particular mode.
        inputs: a batch size → the arguments of one call, drawn anew each time.
        shapes: as `exporters.export` takes them; None is what it takes by default.
    """

    model: nn.Module
    inputs: Callable[[int], Any]
    shapes: dict[str, Any] | None = None


def architecture(build: Callable[[], Architecture]) -> Callable[[], Architecture]:
    """Enter a builder into `ARCHITECTURES` under its own name."""
    ARCHITECTURES[build.__name__] = build
    return build


def tensors(model: nn.Module, *shape: int, shapes: dict[str, Any] | None = None) -> Architecture:
    """A model of one float tensor (batch, *shape)."""
    return Architecture(model, lambda batch: (torch.randn(batch, *shape),), shapes)


def images(model: nn.Module, size: int = 64, *, channels: int = 3) -> Architecture:
    """A model of square images."""
    return tensors(model, channels, size, size)


def token_ids(batch: int, length: int = 9, *, vocabulary: int = 50) -> torch.Tensor:
    """Random ids; the first three are left to special tokens."""
    return torch.randint(3, vocabulary, (batch, length))


def text(model: nn.Module, **constants: Any) -> Architecture:
    """A model of token ids alone, of any length."""
    return Architecture(
        model, lambda batch: {"input_ids": token_ids(batch), **constants}, {"input_ids": TOKENS}
    )


def masked_text(model: nn.Module, **constants: Any) -> Architecture:
    """A model of token ids with a mask in which the rows end at different places."""

    def inputs(batch: int) -> dict[str, Any]:
        ids = token_ids(batch)
        ends = torch.arange(batch)[:, None] % 3
        mask = (torch.arange(ids.shape[1])[None] < ids.shape[1] - ends).long()
        return {"input_ids": ids, "attention_mask": mask, **constants}

    return Architecture(model, inputs, {"input_ids": TOKENS, "attention_mask": TOKENS})
