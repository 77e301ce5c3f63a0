"""Normalizations whose scale and shift are computed from a second input."""

from torch import Tensor, nn
from torch.nn import functional as F


class AdaptiveInstanceNorm2d(nn.Module):
    """Instance normalization with a scale and a shift that a style decides.

    AdaIN is by Huang & Belongie 2017 (arXiv:1703.06868); here its scale and shift are a learned
    affine map of a style vector, as in StyleGAN (Karras et al. 2019, arXiv:1812.04948, section 2):
    `y = (1 + scale(style)) * (x - mean(x)) / std(x) + shift(style)`, over height and width.
    """

    def __init__(self, features: int, style_features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.style = nn.Linear(style_features, 2 * features)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Normalize `x`: (batch, features, height, width) by `style`: (batch, style_features)."""
        affine: Tensor = self.style(style)[:, :, None, None]
        scale, shift = affine.chunk(2, dim=1)
        return F.instance_norm(x, eps=self.eps) * (1 + scale) + shift


class AdaptiveLayerNorm(nn.Module):
    """Layer normalization with a scale and a shift that a condition decides.

    The adaLN of diffusion transformers (Peebles & Xie 2023, arXiv:2212.09748, section 3.2):
    `y = (1 + scale(condition)) * LN(x) + shift(condition)`, without parameters in LN itself. It
    begins as plain layer normalization, since its affine map begins at zero.
    """

    def __init__(self, features: int, condition_features: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.features = features
        self.eps = eps
        self.condition = nn.Linear(condition_features, 2 * features)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalize `x`: (batch, length, features) by `condition`: (batch, condition_features)."""
        affine: Tensor = self.condition(condition)[:, None]
        scale, shift = affine.chunk(2, dim=-1)
        return F.layer_norm(x, (self.features,), eps=self.eps) * (1 + scale) + shift
