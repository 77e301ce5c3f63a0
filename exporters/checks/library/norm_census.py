"""Is every normalization in the file, once, and nothing else?

Explained in ``docs/checks/norm-census.md``.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import onnx

from bundle import Finding, NormLayer
from exporters.census import NORM_OPERATORS
from exporters.checks.subject import TorchSubject
from exporters.checks.words import counted

__all__ = ["NAME", "check"]

NAME = "norm-census"

_NAMED = 3


def check(subject: TorchSubject) -> Finding:
    """Compare the list of layers with the nodes of the file, both ways."""
    nodes = {node.name: node.op_type for node in _nodes(subject.file.graph)}
    norms = {name for name, op in nodes.items() if op in NORM_OPERATORS}
    claimed = {name for layer in subject.norms for name in layer.nodes}
    lost = [
        f"'{layer.name}' ({layer.kind}) should be {layer.fate} {layer.detail}, and the file has"
        f" no node '{name}'"
        for layer in subject.norms
        for name in layer.nodes
        if not any(_is_part(node, name) for node in nodes)
    ]
    strange = [
        f"the {nodes[name]} '{name}' is no layer's"
        for name in sorted(norms)
        if not any(_is_part(name, layer) for layer in claimed)
    ]
    wrong = [*lost, *strange]
    primitive = [layer for layer in subject.norms if layer.fate == "decomposed"]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        return _finding("fail", "; ".join(wrong[:_NAMED]) + more, measured=len(wrong))
    if not subject.norms:
        return _finding("not_applicable", "there are no normalization layers")
    said = f"{counted(len(subject.norms), 'normalization layer')}: {_fates(subject.norms)}"
    if norms:
        said += f"; the file has {_said(Counter(nodes[name] for name in norms))}"
    if primitive:
        said += "; not one operator: " + ", ".join(
            f"'{layer.name}' ({layer.kind})" for layer in primitive[:_NAMED]
        )
    return _finding("pass", said, measured=0)


def _is_part(node: str, name: str) -> bool:
    """Whether a node is the named one, or came of it when GroupNormalization was lowered."""
    return node == name or node.startswith(f"{name}/")


def _nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _fates(layers: Iterable[NormLayer]) -> str:
    return ", ".join(f"{count} {fate}" for fate, count in Counter(la.fate for la in layers).items())


def _said(operators: Counter[str]) -> str:
    return ", ".join(f"{count} {operator}" for operator, count in sorted(operators.items()))


def _finding(
    status: Literal["pass", "fail", "not_applicable"],
    meaning: str,
    *,
    measured: float | None = None,
) -> Finding:
    return Finding(
        check=NAME,
        status=status,
        measured=measured,
        tolerance=None,
        meaning=meaning,
        remedy="report it: the exporter lost track of a layer" if status == "fail" else "",
    )
