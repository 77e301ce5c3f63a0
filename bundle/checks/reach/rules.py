"""Every rule by operator, and which inputs only say how long or where something is."""

from collections.abc import Mapping
from typing import Final

import onnx

from bundle.checks.reach import (
    elementwise,
    indexing,
    movement,
    products,
    recurrent,
    reductions,
    shapes,
)
from bundle.checks.reach.step import Rule

__all__ = ["CONTENT_SHAPED", "CONTROLS", "KEEPS_EVEN", "ONNX", "rule_of"]

ONNX: Final = frozenset({"", "ai.onnx"})

_RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **indexing.RULES,
    **movement.RULES,
    **products.RULES,
    **recurrent.RULES,
    **reductions.RULES,
    **shapes.RULES,
}
_BY_DOMAIN: Mapping[str, frozenset[str]] = {
    "ai.onnx.ml": frozenset({
        "ArrayFeatureExtractor", "Binarizer", "Imputer", "LabelEncoder", "LinearClassifier",
        "LinearRegressor", "Normalizer", "SVMClassifier", "SVMRegressor", "Scaler", "TreeEnsemble",
        "TreeEnsembleClassifier", "TreeEnsembleRegressor",
    }),
    "com.microsoft": frozenset({
        "BiasGelu", "DequantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "FastGelu",
        "Gelu", "MatMulNBits", "QuantizeLinear", "QuickGelu", "SkipLayerNormalization",
    }),
}  # fmt: skip

CONTROLS: Mapping[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
"""By operator, the inputs that are shapes, bounds, axes and the like."""

KEEPS_EVEN = frozenset({
    *elementwise.RULES, "ConstantOfShape", "Expand", "Flatten", "Gather", "Identity", "Reshape",
    "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators of which all elements are the same if those of their inputs are."""

CONTENT_SHAPED = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""Operators whose result is as long as the content of their inputs says."""


def rule_of(node: onnx.NodeProto) -> Rule | None:
    """The rule of a node, or None for an operator that cannot be reasoned about."""
    if node.domain in ONNX or node.op_type in _BY_DOMAIN.get(node.domain, ()):
        return _RULES.get(node.op_type)
    return None
