import pytest

from bundle import NodePlacement, Placement
from bundle.placement import is_heavy, named
from bundle.providers import CPU, CUDA

PLACEMENT = Placement((
    NodePlacement("c", "Conv", CUDA),
    NodePlacement("n", "RMSNormalization", CPU),
    NodePlacement("s", "Shape", CPU),
))  # fmt: skip


def test_nodes_are_counted_a_provider():
    assert PLACEMENT.counts() == {CUDA: 1, CPU: 2}


def test_the_nodes_that_run_elsewhere_and_the_heavy_ones_among_them():
    assert [node.name for node in PLACEMENT.elsewhere(CUDA)] == ["n", "s"]
    assert [node.name for node in PLACEMENT.heavy_elsewhere(CUDA)] == ["n"]


def test_the_first_of_many_nodes_are_named():
    nodes = [NodePlacement(str(number), "Conv", CPU) for number in range(7)]
    assert named(nodes[:1]) == f"Conv '0' on {CPU}"
    assert named(nodes).endswith(f"Conv '4' on {CPU} and 2 more")
    assert named([]) == ""


@pytest.mark.parametrize(
    "op_type",
    ["Conv", "MatMul", "Gemm", "LSTM", "Attention", "GroupNormalization", "LayerNormalization",
     "FusedConv", "SkipLayerNormalization", "Scan"],
)  # fmt: skip
def test_products_attention_recurrences_and_normalizations_are_heavy(op_type):
    assert is_heavy(op_type)


@pytest.mark.parametrize("op_type", ["Shape", "Gather", "Concat", "Cast", "Reshape", "Range"])
def test_what_computes_shapes_is_light(op_type):
    assert not is_heavy(op_type)
