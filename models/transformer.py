"""What the three transformers share: self-attention and positions of any length."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 10_000.0
"""The longest wavelength of a position, over 2 pi."""

Rotate = Callable[[Tensor], Tensor]


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(
        self, features: int, heads: int, *, causal: bool, bias: bool, dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.query_key_value = nn.Linear(features, 3 * features, bias=bias)
        self.output = nn.Linear(features, features, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, rotate: Rotate | None = None
    ) -> Tensor:
        """Let each position look at others.

        Args:
            x: (batch, length, features).
            mask: (batch, 1, length, length) bool: may the one position look at the other?
            rotate: what to do to queries and keys, (batch, heads, length, head features).

        Returns:
            (batch, length, features).
        """
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=-1)
        )
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=self.causal
        )
        y: Tensor = self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))
        return y


class Angles(nn.Module):
    """The angles of sinusoidal and rotary positions: position times frequency.

    They are computed for whatever length comes, so that no table limits it.
    """

    frequencies: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        exponents = torch.arange(0, features, 2, dtype=torch.float64) / features
        frequencies = (BASE**-exponents).to(torch.float32)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, length: int) -> Tensor:
        """Angles (length, features / 2) in radians."""
        steps = torch.arange(length, device=self.frequencies.device, dtype=self.frequencies.dtype)
        return steps[:, None] * self.frequencies


class Sinusoids(nn.Module):
    """Sinusoidal positions (Vaswani et al. 2017, section 3.5), sines first."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.angles = Angles(features)

    def forward(self, length: int) -> Tensor:
        """Positions (length, features)."""
        angles = self.angles(length)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def rotation(angles: Tensor) -> Rotate:
    """Make the rotation of pairs of features by (length, head features / 2) angles.

    RoPE (Su et al. 2021, arXiv:2104.09864), with feature i of the first half of a head and
    feature i of the second as a pair, as Llama's published weights have it.
    """
    cos, sin = angles.cos(), angles.sin()

    def rotate(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    return rotate
