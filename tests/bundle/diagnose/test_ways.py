import numpy as np
import onnx
import pytest

from bundle import open_model
from bundle.diagnose import Cause, CauseKind, Verdict, Way, diagnose_ways, unoptimized, ways_here
from bundle.providers import CUDA
from tests.bundle.precision.models import inputs, perceptron

FEED = inputs(4, 16)
PLAIN = Way("plain", unoptimized)
BLAMED = Cause(kind=CauseKind.OPTIMIZATION, meaning="blamed", remedy="switch it off")


def spoiling(op_type, factor, *, only_if=lambda model: True):
    """Opens models with one operator's results off by a factor, as a wrong kernel would."""

    def opener(model):
        if not only_if(model):
            return open_model(model)
        spoiled = onnx.ModelProto()
        spoiled.CopyFrom(model)
        spoiled.graph.initializer.append(
            onnx.numpy_helper.from_array(np.float32(factor), "spoiling")
        )
        nodes = []
        for node in spoiled.graph.node:
            nodes.append(node)
            if node.op_type == op_type:
                right = node.output[0]
                node.output[0] = f"{right}/right"
                nodes.append(onnx.helper.make_node("Mul", [f"{right}/right", "spoiling"], [right]))
        del spoiled.graph.node[:]
        spoiled.graph.node.extend(nodes)
        return open_model(spoiled)

    return opener


def diagnoses(*ways):
    return [each.diagnosis for each in diagnose_ways(perceptron(), FEED, ways)]


def test_every_way_of_this_machine_agrees_on_an_ordinary_network():
    found = diagnoses(*ways_here())
    assert [each.verdict for each in found] == [Verdict.AGREES] * len(found)
    assert len(found[0].steps) == 5  # value by value
    assert len(found[1].steps) == 1  # the output as it is served


def test_a_wrong_kernel_is_found_where_it_stands_and_reproduced_by_its_node():
    _, other = diagnoses(PLAIN, Way("wrong", spoiling("LayerNormalization", 1.001), BLAMED))
    assert other.verdict is Verdict.DIVERGES
    assert other.first.value == "n"
    assert other.cause is not None
    assert other.cause.kind is CauseKind.OPTIMIZATION
    assert other.reproduction.nodes == 1
    assert other.reproduction.reproduces


def test_a_fusion_that_vanishes_when_all_values_are_looked_at_is_bisected():
    def is_fused(model):  # as long as nobody looks at both sides of the norm
        names = {value.name for value in model.graph.output}
        return not {"i", "n"} <= names

    way = Way("fused", spoiling("LayerNormalization", 1.001, only_if=is_fused), BLAMED)
    _, other = diagnoses(PLAIN, way)
    assert other.verdict is Verdict.DIVERGES
    assert other.first.value == "n"


@pytest.mark.parametrize(("factor", "kind"), [(1.001, CauseKind.TF32), (1.5, CauseKind.OTHER)])
def test_tf32_is_named_where_the_error_has_its_size_on_cuda(factor, kind):
    way = Way("cuda", spoiling("MatMul", factor), provider=CUDA)
    _, other = diagnoses(PLAIN, way)
    assert other.first.value == "h"
    assert other.cause.kind is kind
