"""Bring an exported graph into the form that is served. Knows ONNX, not the module it came from.

`optimize` changes an `onnx_ir.Model` in place, so that the weights hold all the arithmetic that is
constant and every normalization that stays is the one operator that ONNX has for it. Every rule is
exact in real numbers; what is rounded is computed in float64 and rounded once.
"""

from __future__ import annotations

from exporters.graph.journal import Rewrite, Rule
from exporters.graph.optimize import optimize

__all__ = ["Rewrite", "Rule", "optimize"]
