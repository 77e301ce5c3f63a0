"""In which precision each value of a graph is computed, or what it is computed from."""

from bundle.diagnose.graph import Graph
from bundle.precision.kinds import Precision
from bundle.tensors import Datatype

__all__ = ["precisions"]

_QUANTIZING = frozenset({
    "QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
    "DynamicQuantizeLSTM", "DynamicQuantizeMatMul",
})  # fmt: skip
_OF_ELEMENT = {Datatype.FP16.onnx: Precision.FP16, Datatype.BF16.onnx: Precision.BF16}


def precisions(graph: Graph) -> dict[str, Precision]:
    """The coarsest precision that each value depends on; values of float32 alone are left out."""
    found = {name: _OF_ELEMENT[e] for name, e in graph.types.items() if e in _OF_ELEMENT}
    for node in graph.model.graph.node:
        coarse = [found[name] for name in (*node.input, *node.output) if name in found]
        if node.op_type in _QUANTIZING:
            coarse.append(Precision.INT8)
        if coarse:
            worst = max(coarse, key=lambda precision: precision.epsilon)
            found |= dict.fromkeys(node.output, worst)
    return found
