"""The normalization layers that torch does not have, each after its paper."""

from models.norms.adaptive import AdaptiveInstanceNorm2d, AdaptiveLayerNorm
from models.norms.channels import LayerNorm2d, PixelNorm
from models.norms.filter_response import FilterResponseNorm2d
from models.norms.layernorm_lstm import LayerNormLSTM, LayerNormLSTMCell
from models.norms.switchable import SwitchableNorm1d, SwitchableNorm2d
from models.norms.weight_standardization import WeightStandardizedConv2d

__all__ = [
    "AdaptiveInstanceNorm2d",
    "AdaptiveLayerNorm",
    "FilterResponseNorm2d",
    "LayerNorm2d",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "PixelNorm",
    "SwitchableNorm1d",
    "SwitchableNorm2d",
    "WeightStandardizedConv2d",
]
