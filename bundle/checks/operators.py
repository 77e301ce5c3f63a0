"""Naming an operator of a model, for certificates and findings."""

import onnx
from pydantic import BaseModel, ConfigDict

__all__ = ["Operator"]


class Operator(BaseModel):
    """One node of a graph.

    Attributes:
        op_type: what it does (``ReduceMean`` …), with its domain unless that is ONNX's own.
        name: the node's name, or that of its first output where it has none.
        inside: the node whose body it is in (``Loop 'n4'``), outermost first; mostly none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    op_type: str
    name: str
    inside: tuple[str, ...] = ()

    @classmethod
    def of(cls, node: onnx.NodeProto, *, inside: tuple[str, ...] = ()) -> "Operator":
        """The operator of a node."""
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        name = node.name or next(iter(node.output), "")
        return cls(op_type=f"{domain}{node.op_type}", name=name, inside=inside)

    def __str__(self) -> str:
        return " in ".join([f"{self.op_type} '{self.name}'", *reversed(self.inside)])
