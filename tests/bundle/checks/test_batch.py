import pytest

from bundle import Datatype, TensorSpec
from bundle.checks import Subject
from bundle.checks.batch import NotBatchable, batch_of
from tests.bundle.onnx_models import group_norm


def batch(*shapes):
    inputs = [
        TensorSpec(name=f"x{number}", datatype=Datatype.FP32, shape=shape)
        for number, shape in enumerate(shapes)
    ]
    return batch_of(Subject(model=group_norm(4, 2, {})), inputs)


@pytest.mark.parametrize("name", ["batch", "N", "?", "s0", "batch_size", "unk", "dim_0", "outline"])
def test_axis_0_is_the_batch_whatever_most_names_are(name):
    assert batch((name, 3)).allows(100)


@pytest.mark.parametrize("name", ["length", "seq_len", "Time", "num_nodes", "sequence.1", "steps"])
def test_an_axis_0_that_is_called_something_else_is_no_batch(name):
    with pytest.raises(NotBatchable, match=rf"axis 0 of input 'x0' is '{name}': it is no batch"):
        batch((name, 3))


def test_a_batch_at_another_axis_is_not_shared():
    with pytest.raises(NotBatchable, match=r"the batch of input 'x0' is its axis 1 \('batch'\)"):
        batch(("t", "batch", 4))


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ((), "no inputs"),
        (((),), "scalar"),
        (((4, "n"),), "fixed to 4"),
        ((("n", 3), ("n", "n")), "'n' is axis 1 of input 'x1' as well"),
    ],
)
def test_without_a_batch_axis_nothing_can_be_shared(shapes, reason):
    with pytest.raises(NotBatchable, match=reason):
        batch(*shapes)
