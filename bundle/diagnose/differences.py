"""Two files with the same operators: which attribute or weight differs. Not for: other causes."""

import numpy as np
import onnx

from bundle.certificate import Operator
from bundle.diagnose.diagnosis import Cause, CauseKind
from bundle.diagnose.evidence import Evidence, computing
from bundle.diagnose.graph import Graph

__all__ = ["differing_node"]

_EPSILON = 1e-2
"""A scalar below it, added to something, is an epsilon."""


def differing_node(evidence: Evidence) -> Cause | None:
    """Where both files have the same operators: what is different about one of them."""
    if evidence.expected is None:
        return None
    (actual, actual_region), (expected, expected_region) = evidence.actual, evidence.expected
    mine, theirs = computing(actual_region), computing(expected_region)
    if [node.op_type for node in mine] != [node.op_type for node in theirs]:
        return None
    for node, other in zip(mine, theirs, strict=True):
        pair = (actual, node), (expected, other)
        cause = _attribute(*pair) or _weights(evidence, *pair)
        if cause is not None:
            return cause
    return None


def _attribute(
    actual: tuple[Graph, onnx.NodeProto], expected: tuple[Graph, onnx.NodeProto]
) -> Cause | None:
    mine, theirs = _attributes(*actual), _attributes(*expected)
    for name in sorted(mine.keys() | theirs.keys()):
        got, wanted = (_said(each.get(name)) for each in (mine, theirs))
        if got != wanted:
            return Cause(
                kind=CauseKind.EPSILON if name == "epsilon" else CauseKind.ATTRIBUTE,
                meaning=f"{Operator.of(actual[1])} has {name} = {got}, expected {wanted}",
                remedy="export both from the same model and configuration",
            )
    return None


def _attributes(graph: Graph, node: onnx.NodeProto) -> dict[str, object]:
    """Those that the node spells out, and the standard's defaults of the others."""
    found: dict[str, object] = {}
    if onnx.defs.has(node.op_type, node.domain):
        schema = onnx.defs.get_schema(node.op_type, graph.opset, node.domain)
        for name, attribute in schema.attributes.items():
            if attribute.default_value.type:
                found[name] = onnx.helper.get_attribute_value(attribute.default_value)
    for given in node.attribute:
        if not given.HasField("g"):
            found[given.name] = onnx.helper.get_attribute_value(given)
    return found


def _weights(
    evidence: Evidence, mine: tuple[Graph, onnx.NodeProto], theirs: tuple[Graph, onnx.NodeProto]
) -> Cause | None:
    (graph, node), (other_graph, other) = mine, theirs
    for name, other_name in zip(node.input, other.input, strict=False):
        got, wanted = graph.array(name), other_graph.array(other_name)
        if got is None or wanted is None or np.array_equal(got, wanted, equal_nan=True):
            continue
        operator = Operator.of(node)
        if got.shape != wanted.shape:
            meaning = f"'{name}' of {operator} has shape {got.shape}, expected {wanted.shape}"
        else:
            apart = np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max()
            meaning = f"'{name}' of {operator} differs from what is expected by up to {apart:.3g}"
        if got.size == wanted.size == 1 and 0 < float(wanted) < _EPSILON > float(got) > 0:
            return Cause(
                kind=CauseKind.EPSILON,
                meaning=f"{operator} adds {float(got):.3g}, expected {float(wanted):.3g}",
                remedy="export both from the same model and configuration",
            )
        layer = evidence.folded.get(node.name)
        if layer is not None and not _unfolded_differ(evidence):
            return Cause(
                kind=CauseKind.FOLD,
                meaning=f"{meaning}, and the weights that no fold has touched are equal: the fold"
                f" of '{layer}' into it is wrong, or this layer alone has other weights",
                remedy="compare the layer's own weight with the checkpoint; if it is equal, report"
                " the fold, with the reproduction",
            )
        return Cause(
            kind=CauseKind.WEIGHTS,
            meaning=meaning,
            remedy="compare the checkpoints that both were made from",
        )
    return None


def _unfolded_differ(evidence: Evidence) -> bool:
    """Whether any weight differs that belongs to a node into which nothing was folded."""
    assert evidence.expected is not None  # noqa: S101 - asked only where both graphs are known
    graph, other = evidence.actual[0], evidence.expected[0]
    for node in graph.model.graph.node:
        twin = other.producer(node.output[0])
        if twin is None or twin.op_type != node.op_type or node.name in evidence.folded:
            continue
        for name, other_name in zip(node.input, twin.input, strict=False):
            mine, theirs = graph.array(name), other.array(other_name)
            if mine is not None and theirs is not None and not np.array_equal(mine, theirs):
                return True
    return False


def _said(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
