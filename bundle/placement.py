"""Where the nodes of a model run, and which of them must not run elsewhere. Places none.

A node is heavy if its work is more than to read its inputs and write its outputs, and it is what
models are run for: products and convolutions, attention, recurrences, and every normalization. One
that runs on another provider than the one that was asked for costs what that provider was for, and
the copies of its tensors there and back. What is left to the CPU beside a GPU, and cheap there, are
shapes, indices and constants: none of these operators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["NodePlacement", "Placement", "is_heavy", "named"]

_PRODUCTS: Final = frozenset({
    "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "FusedConv", "FusedGemm",
    "FusedMatMul", "Gemm", "GemmFloat8", "MatMul", "MatMulInteger", "MatMulIntegerToFloat",
    "MatMulNBits", "NhwcConv", "NhwcFusedConv", "QGemm", "QLinearConv", "QLinearMatMul",
    "TransposeMatMul",
})  # fmt: skip
_ATTENTION: Final = frozenset({
    "Attention", "DecoderMaskedMultiHeadAttention", "GroupQueryAttention", "MultiHeadAttention",
    "PackedAttention", "PackedMultiHeadAttention", "QAttention",
})  # fmt: skip
_RECURRENCES: Final = frozenset({
    "DynamicQuantizeLSTM", "GRU", "Loop", "LSTM", "RNN", "Scan",
})  # fmt: skip
_NORMALIZATIONS: Final = frozenset({
    "BatchNormalization", "EmbedLayerNormalization", "GroupNorm",
    "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "LRN",
    "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
    "SkipGroupNorm", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
})  # fmt: skip
_MOST_NAMED: Final = 5
_HEAVY: Final = _PRODUCTS | _ATTENTION | _RECURRENCES | _NORMALIZATIONS


def is_heavy(op_type: str) -> bool:
    """Whether an operator is one that must run where the policy says."""
    return op_type in _HEAVY


@dataclass(frozen=True, slots=True)
class NodePlacement:
    """Where one node of the optimized graph runs."""

    name: str
    op_type: str
    provider: str


def named(nodes: Sequence[NodePlacement]) -> str:
    """Nodes and where they run, in a message; the first of many."""
    said = [f"{node.op_type} '{node.name}' on {node.provider}" for node in nodes[:_MOST_NAMED]]
    more = len(nodes) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where every node of the optimized graph runs, as ONNX Runtime recorded it.

    Attributes:
        nodes: each of them.
        passed_over: providers that the policy wanted more, each with the reason why it is not used.
    """

    nodes: tuple[NodePlacement, ...]
    passed_over: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """The number of nodes a provider."""
        providers = [node.provider for node in self.nodes]
        return {provider: providers.count(provider) for provider in dict.fromkeys(providers)}

    def elsewhere(self, provider: str) -> tuple[NodePlacement, ...]:
        """The nodes that do not run on the given provider."""
        return tuple(node for node in self.nodes if node.provider != provider)

    def heavy_elsewhere(self, provider: str) -> tuple[NodePlacement, ...]:
        """The heavy nodes among those."""
        return tuple(node for node in self.elsewhere(provider) if is_heavy(node.op_type))
