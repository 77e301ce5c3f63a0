"""What a check of an export looks at. Checks nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import torch

from bundle import NormLayer
from exporters.convert import Converted, Subject
from exporters.verify import Proof

__all__ = ["TorchSubject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSubject:
    """A torch model and the file that was made of it.

    Attributes:
        source: the model, how it is called, and what it computes in eval mode.
        references: real inputs; may be empty.
        converted: how it became a graph.
        file: the model file, with its weights inside.
        proof: every comparison of the file with torch.
        norms: every normalization layer and what became of it.
        sizes: of the dynamic dimensions at which the file was compared.
    """

    source: Subject
    references: tuple[tuple[torch.Tensor, ...], ...]
    converted: Converted
    file: onnx.ModelProto
    proof: Proof
    norms: tuple[NormLayer, ...]
    sizes: tuple[Mapping[str, int], ...]
