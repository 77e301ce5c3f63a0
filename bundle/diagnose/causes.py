"""The likely cause of a divergence, from the nodes that lie between agreement and divergence.

A cause is named only with evidence in the graphs or the numbers; else it is ``operator`` or
``other``. Not for: finding where the divergence begins (`bundle.diagnose.trace`).
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from bundle.certificate import Operator
from bundle.diagnose.diagnosis import Cause, CauseKind
from bundle.diagnose.differences import differing_node
from bundle.diagnose.evidence import Evidence, computing, listed
from bundle.diagnose.graph import Graph
from bundle.precision.kinds import Precision
from bundle.precision.tolerance import TF32_ERRORS
from bundle.providers import CUDA

__all__ = ["likely_cause"]

_DYNAMIC = frozenset({
    "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulInteger",
    "ConvInteger", "MatMulIntegerToFloat",
})  # fmt: skip
_QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"})
_TRAINS = {"BatchNormalization": "training_mode"}
_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2"})
_TRAINING_INPUT = 2
_SMALLEST_FP16 = 2.0**-25
"""Half of float16's least positive value: what is smaller becomes 0."""


def likely_cause(evidence: Evidence) -> Cause:
    """The first cause in a fixed order that the evidence supports."""
    rules: Sequence[Callable[[Evidence], Cause | None]] = (
        _dynamic_quantization, _train_mode, _precision, _tf32, differing_node, _fold, _operators,
    )  # fmt: skip
    found = (rule(evidence) for rule in rules)
    return next((cause for cause in found if cause is not None), _other(evidence))


def _dynamic_quantization(evidence: Evidence) -> Cause | None:
    for node in evidence.actual[1].nodes:
        if node.op_type in _DYNAMIC:
            return Cause(
                kind=CauseKind.DYNAMIC_QUANTIZATION,
                meaning=f"{Operator.of(node)} quantizes with one scale from the extremes of its"
                " whole input: 8 bits, and a row's answer depends on its neighbours",
                remedy="quantize statically, with calibrated scales (normserve export --precision"
                " int8), or leave the layer in float32",
            )
    return None


def _train_mode(evidence: Evidence) -> Cause | None:
    sides = [("under examination", *evidence.actual)]
    if evidence.expected is not None:
        sides.append(("it is compared with", *evidence.expected))
    normalizes = any(
        node.op_type == "BatchNormalization" for _, _, region in sides for node in region.nodes
    )
    for said, graph, region in sides:
        for node in region.nodes:
            reduces = normalizes and node.op_type in _REDUCTIONS and 0 in _axes(graph, node)
            if _trains(graph, node) or reduces:
                return Cause(
                    kind=CauseKind.TRAIN_MODE,
                    meaning=f"{Operator.of(node)} of the file {said} uses statistics of the batch,"
                    " or drops elements at random, as a model in training mode does",
                    remedy="call model.eval() before the export; normserve export does it on a copy"
                    " and refuses layers that stay in training mode",
                )
    return None


def _trains(graph: Graph, node: onnx.NodeProto) -> bool:
    flag = _TRAINS.get(node.op_type)
    if any(attribute.name == flag and attribute.i for attribute in node.attribute):
        return True
    if node.op_type != "Dropout" or len(node.input) <= _TRAINING_INPUT:
        return False
    switch = graph.array(node.input[_TRAINING_INPUT])
    return switch is not None and bool(switch)


def _axes(graph: Graph, node: onnx.NodeProto) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    axes = graph.array(node.input[1]) if len(node.input) > 1 else None
    return [] if axes is None else [int(axis) for axis in np.ravel(axes)]


def _precision(evidence: Evidence) -> Cause | None:
    precision = evidence.precision
    if precision is None:
        return None
    if any(node.op_type in _QUANTIZING for node in evidence.actual[1].nodes):
        size = "no more" if evidence.is_explained else "more"
        return Cause(
            kind=CauseKind.QUANTIZATION,
            meaning=f"the layer computes in 8-bit integers; the difference is {size} than their"
            " 255 steps explain",
            remedy="calibrate on more and on larger inputs, or leave the layer in float32",
        )
    if evidence.is_explained:
        return Cause(
            kind=CauseKind.PRECISION,
            meaning=f"the layer computes in {precision}, and its rounding explains all of the"
            " difference",
            remedy="none, if that much is acceptable; else leave the layer in float32",
        )
    return Cause(
        kind=CauseKind.PRECISION,
        meaning=f"the layer computes in {precision}, and the difference is more than its rounding:"
        f" {_range(evidence, precision)}",
        remedy="leave the layer in float32, as bundle.precision.variant does",
    )


def _tf32(evidence: Evidence) -> Cause | None:
    if evidence.provider != CUDA or not TF32_ERRORS[0] < evidence.relative < TF32_ERRORS[1]:
        return None
    return Cause(
        kind=CauseKind.TF32,
        meaning=f"{evidence.relative:.1e} of the largest value is the size of the rounding of TF32,"
        " which keeps 10 bits of a factor",
        remedy="NormServe opens sessions with TF32 off: look for NVIDIA_TF32_OVERRIDE in the"
        " environment",
    )


def _range(evidence: Evidence, precision: Precision) -> str:
    for name, largest in evidence.largest.items():
        if largest > precision.largest:
            return f"'{name}' reaches {largest:.3g} and {precision} ends at {precision.largest:g}"
    graph, region = evidence.expected or evidence.actual
    for node in region.nodes:
        for name in node.input:
            value = graph.array(name)
            if value is not None and value.size == 1 and 0 < abs(float(value)) < _SMALLEST_FP16:
                return f"{float(value):.2g}, which {Operator.of(node)} adds, is 0 in {precision}"
    return "a difference of nearly equal values, or a sum of many, has lost its digits"


def _fold(evidence: Evidence) -> Cause | None:
    if evidence.expected is None:
        return None
    norms = [
        [node for node in region.nodes if node.op_type == "BatchNormalization"]
        for _, region in (evidence.actual, evidence.expected)
    ]
    if bool(norms[0]) == bool(norms[1]):
        return None
    (norm,) = (norms[0] or norms[1])[:1]
    where = "expected" if norms[1] else "under examination"
    carrier = Operator.of(evidence.actual[1].nodes[-1])
    return Cause(
        kind=CauseKind.FOLD,
        meaning=f"{Operator.of(norm)} stands in the file {where} only; in the other its arithmetic"
        f" is in the weights, and {carrier} does not give the same",
        remedy="check the fold's epsilon, statistics and weight, channel by channel; normserve"
        " export folds in float64 and proves it",
    )


def _operators(evidence: Evidence) -> Cause | None:
    if evidence.expected is None:
        return None
    mine, theirs = (computing(region) for _, region in (evidence.actual, evidence.expected))
    got, wanted = ([node.op_type for node in nodes] for nodes in (mine, theirs))
    if got == wanted:
        return None
    return Cause(
        kind=CauseKind.OPERATOR,
        meaning=f"the layer is computed by {listed(got)}, expected {listed(wanted)}",
        remedy="compare the two forms on the inputs of the reproduction",
    )


def _other(evidence: Evidence) -> Cause:
    nodes = computing(evidence.actual[1])
    said = listed([str(Operator.of(node)) for node in nodes])
    return Cause(
        kind=CauseKind.OTHER,
        meaning=f"nothing in the graph tells why; the difference begins in {said}",
        remedy="run the reproduction with other optimizations, threads and providers, and report"
        " the operator to its runtime",
    )
