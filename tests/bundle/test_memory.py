"""Memory that goes back; that it does is measured in ``tests/service/engine/test_processes.py``."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from bundle import Datatype, SessionTuning, open_model
from bundle.memory import release_memory
from tests.bundle.onnx_models import identity, model, value


def endless():
    """A loop that never ends, if it is begun."""
    going = value("going", [], TensorProto.BOOL)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Identity", ["before"], ["after"]),
        ],
        "body",
        [value("round", [], TensorProto.INT64), going, value("before", None)],
        [value("goes_on", [], TensorProto.BOOL), value("after", None)],
    )
    node = helper.make_node("Loop", ["", "for_ever", "x"], ["y"], body=body)
    return model(
        [node], [value("x", ["n"])], [value("y", ["n"])], weights={"for_ever": np.array(True)}
    )


@pytest.mark.parametrize(
    "element",
    [TensorProto.FLOAT, TensorProto.BFLOAT16, TensorProto.STRING, TensorProto.BOOL],
)
@pytest.mark.parametrize("shape", [(), (2, 3), ("n", 3), (None, None)])
def test_a_model_answers_as_before(element, shape):
    opened = open_model(identity(element, shape))
    given = np.zeros([dim if isinstance(dim, int) else 2 for dim in shape])
    datatype = opened.inputs[0].datatype
    given = np.full(given.shape, b"a", object) if datatype is Datatype.BYTES else given
    feeds = {"x": given.astype(datatype.numpy)}
    before = opened.run(feeds)["y"]
    release_memory(opened)
    assert opened.run(feeds)["y"].tolist() == before.tolist() == given.tolist()


def test_nothing_is_computed_for_it():
    release_memory(open_model(endless()))


def test_a_session_that_keeps_nothing_has_nothing_to_give_back():
    opened = open_model(identity(), tuning=SessionTuning(mem_arena=False))
    release_memory(opened)
    assert opened.run({"x": np.ones(2, np.float32)})["y"].tolist() == [1, 1]


def test_a_model_without_inputs_is_one_too():
    node = helper.make_node("Identity", ["w"], ["y"])
    weights = {"w": np.zeros(3, np.float32)}
    opened = open_model(model([node], [], [value("y", [3])], weights=weights))
    release_memory(opened)
    assert opened.run({})["y"].shape == (3,)
