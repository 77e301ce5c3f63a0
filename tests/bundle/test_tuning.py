import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from bundle import AS_IT_COMES, GraphLevel, SessionTuning, open_model
from bundle.checks import Subject, certify
from tests.bundle.onnx_models import model, value

WEIGHTS = {"w": np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)}


def convolution():
    """y = relu(conv(x)) + 0: a fusion for the extended optimizations, a node less for the basic."""
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Identity", ["r"], ["y"]),
        ],
        [value("x", ["batch", 3, 8, 8])],
        [value("y", ["batch", 2, 6, 6])],
        weights=WEIGHTS,
    )


def native_threads():
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize(
    ("level", "operators"),
    [
        (GraphLevel.NONE, ["Conv", "Relu", "Identity"]),
        (GraphLevel.BASIC, ["Conv", "Relu"]),
        (GraphLevel.EXTENDED, ["Conv", "Relu"]),  # fused only after it was placed
    ],
)
def test_the_graph_is_optimized_as_far_as_its_level_says(level, operators):
    opened = open_model(convolution(), tuning=SessionTuning(level=level))
    assert [node.op_type for node in opened.placement.nodes] == operators


def test_without_optimizations_means_without_whatever_the_level():
    opened = open_model(convolution(), tuning=AS_IT_COMES, optimize=False)
    assert len(opened.placement.nodes) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ({"threads": 1}, 0),
        ({"threads": 4}, 3),
        ({"threads": 1, "tuning": SessionTuning(inter_op_threads=3)}, 2),
    ],
)
def test_a_session_has_the_threads_that_it_was_asked_for(asked, more):
    before = native_threads()
    opened = open_model(convolution(), **asked)
    assert native_threads() - before == more
    assert opened.outputs[0].name == "y"


@pytest.mark.parametrize(
    "tuning",
    [
        SessionTuning(level=GraphLevel.NONE, inter_op_threads=2),
        SessionTuning(mem_arena=False, mem_pattern=False),
        SessionTuning(provider_options=(("CUDAExecutionProvider", "use_tf32", "1"),)),
    ],
)
def test_a_tuned_session_computes_the_same(tuning):
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    plain = open_model(convolution()).run({"x": x})["y"]
    tuned = open_model(convolution(), tuning=tuning).run({"x": x})["y"]
    np.testing.assert_allclose(tuned, plain, rtol=0, atol=1e-5)


def test_a_tuning_says_what_it_changes():
    assert str(AS_IT_COMES) == ""
    tuning = SessionTuning(
        level=GraphLevel.BASIC,
        mem_arena=False,
        provider_options=(("CUDAExecutionProvider", "use_tf32", "1"),),
    )
    assert str(tuning) == "level basic, mem_arena false, CUDAExecutionProvider use_tf32 1"


def test_a_certificate_names_the_tuning_that_it_was_established_with():
    tuned = Subject(model=convolution(), tuning=SessionTuning(level=GraphLevel.BASIC))
    assert certify(tuned, seconds=0.1).tuning == "level basic"
    assert certify(Subject(model=convolution()), seconds=0.1).tuning == ""
