"""What the opener does with a GPU, a broken one, and none; the GPU is `tests.bundle.gpu.Gpu`."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as binding

from bundle import (
    InputInvalid,
    Interrupt,
    ModelInvalid,
    PlacementRefused,
    ProviderPolicy,
    ProviderUnavailable,
    RunFailed,
    RunInterrupted,
    open_model,
)
from bundle.providers import CPU, CUDA, TENSORRT
from tests.bundle.gpu import Gpu, Outcome
from tests.bundle.onnx_models import identity, model, save, value


@pytest.fixture
def install(monkeypatch):
    def put_in(**how):
        outcomes = how.pop("outcomes", {TENSORRT: Outcome.STARTS, CUDA: Outcome.STARTS})
        gpu = Gpu(outcomes, **how)
        gpu.install(monkeypatch)
        return gpu

    return put_in


def dense(rows="batch", scale=1.0):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
        helper.make_node("Neg", ["m"], ["y"], name="sign"),
    ]
    weights = {"w": np.full((3, 2), scale, np.float32)}
    return model(nodes, [value("x", [rows, 3])], [value("y", [rows, 2])], weights=weights)


ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_model_whose_nodes_are_all_there_is_bound_to_the_device(install):
    gpu = install()
    opened = open_model(dense(), policy=ProviderPolicy.CUDA)
    assert opened.provider == CUDA
    assert opened.placement.counts() == {CUDA: 2}
    np.testing.assert_array_equal(opened.run({"x": ROWS})["y"], [[-3, -3], [-12, -12]])
    assert gpu.kinds == {("cuda", 0)}


def test_a_heavy_node_elsewhere_is_an_error_that_names_it(install):
    install(light={"MatMul"})
    with pytest.raises(PlacementRefused, match=rf"MatMul 'product' on {CPU}; choose 'prefer:cuda'"):
        open_model(dense(), policy=ProviderPolicy.CUDA)


def test_a_light_node_elsewhere_is_none(install):
    install(light={"Neg"})
    opened = open_model(dense(), policy=ProviderPolicy.CUDA)
    assert [node.name for node in opened.placement.elsewhere(CUDA)] == ["sign"]


@pytest.mark.parametrize("spelling", ["prefer:cuda", "auto"])
def test_what_is_not_required_may_run_elsewhere_and_the_placement_says_so(install, spelling):
    install(light={"MatMul"})
    opened = open_model(dense(), policy=ProviderPolicy(spelling))
    assert opened.provider == CUDA
    assert opened.placement.counts() == {CPU: 1, CUDA: 1}
    assert opened.placement.passed_over == ()


def test_what_is_required_and_does_not_start_is_an_error(install):
    install(outcomes={CUDA: Outcome.FALLS_BACK})
    with pytest.raises(ProviderUnavailable, match="installed but did not start"):
        open_model(dense(), policy=ProviderPolicy.CUDA)


@pytest.mark.parametrize("spelling", ["prefer:cuda", "auto"])
def test_what_is_not_required_and_does_not_start_is_passed_over_and_the_placement_says_so(
    install, spelling
):
    gpu = install(outcomes={CUDA: Outcome.FALLS_BACK})
    opened = open_model(dense(), policy=ProviderPolicy(spelling))
    assert opened.provider == CPU
    (reason,) = opened.placement.passed_over
    assert reason.startswith(f"{CUDA}: {CUDA} is installed but did not start")
    np.testing.assert_array_equal(opened.run({"x": ROWS})["y"], [[-3, -3], [-12, -12]])
    assert gpu.kinds == set()


def test_a_provider_that_refuses_a_model_is_passed_over_for_the_next(install):
    install(outcomes={TENSORRT: Outcome.REFUSES, CUDA: Outcome.STARTS})
    opened = open_model(dense(), policy=ProviderPolicy("prefer:tensorrt"))
    assert opened.provider == CUDA
    assert "cannot compile this" in opened.placement.passed_over[0]


def test_a_required_provider_that_refuses_a_model_is_an_error(install):
    install(outcomes={TENSORRT: Outcome.REFUSES, CUDA: Outcome.STARTS})
    with pytest.raises(ModelInvalid, match="cannot compile this"):
        open_model(dense(), policy=ProviderPolicy("tensorrt"))


def test_a_preferred_provider_that_the_build_has_not_is_named(install):
    install(outcomes={})
    opened = open_model(dense(), policy=ProviderPolicy("prefer:cuda"))
    assert opened.placement.passed_over == (f"{CUDA}: this ONNX Runtime does not have it",)


def test_the_runtime_is_not_allowed_to_fall_back_by_itself(install):
    gpu = install()
    open_model(dense(), policy=ProviderPolicy.CUDA)
    assert gpu.fallbacks == [0]


def test_a_provider_that_fails_during_a_run_is_told(install, monkeypatch):
    install()
    opened = open_model(dense(), policy=ProviderPolicy.CUDA)

    def fail(*_):
        raise binding.EPFail("the device is lost")

    monkeypatch.setattr(onnxruntime.IOBinding, "synchronize_outputs", fail)
    with pytest.raises(RunFailed, match="the execution provider failed: the device is lost"):
        opened.run({"x": ROWS})


@pytest.mark.parametrize("element", [TensorProto.STRING, TensorProto.BFLOAT16])
def test_tensors_that_cannot_be_bound_pass_as_ever(install, element):
    gpu = install()
    opened = open_model(identity(element), policy=ProviderPolicy.CUDA)
    x = np.array([1, 2]).astype(opened.inputs[0].datatype.numpy)
    if element == TensorProto.STRING:
        x[:] = [b"a", b"b"]
    assert opened.run({"x": x})["y"].tolist() == x.tolist()
    assert gpu.kinds == set()


def test_runs_are_recorded_where_that_is_allowed_and_shapes_are_fixed(install):
    gpu = install()
    opened = open_model(dense(), policy=ProviderPolicy("cuda", cuda_graphs=True))
    assert [each[CUDA].get("enable_cuda_graph") for each in gpu.sessions] == [None, "1"]
    for _ in range(2):
        np.testing.assert_array_equal(opened.run({"x": ROWS})["y"], [[-3, -3], [-12, -12]])
    opened.run({"x": ROWS[:1]})
    assert gpu.recordings == ["-1", "1", "1", "-1", "2"]


@pytest.mark.parametrize(
    ("proto", "how"),
    [
        (identity(shape=("n", "m")), {}),
        (identity(TensorProto.STRING, (3,)), {}),
        (dense(), {"light": {"Neg"}}),
        (dense(), {"outcomes": {CUDA: Outcome.FALLS_BACK}}),
    ],
)
def test_runs_are_not_recorded_elsewhere(install, proto, how):
    gpu = install(**how)
    open_model(proto, policy=ProviderPolicy("prefer:cuda", cuda_graphs=True))
    assert all("enable_cuda_graph" not in options for each in gpu.sessions for options in
               each.values())  # fmt: skip


def test_engines_of_different_weights_do_not_share_a_folder(install, tmp_path, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    gpu = install()
    policy = ProviderPolicy("tensorrt", engines=tmp_path / "engines")
    for scale in (1.0, 2.0):
        path = save(dense(scale=scale), tmp_path / str(scale) / "model.onnx")
        open_model(path, policy=policy)
        open_model(path, policy=policy)
    folders = [each[TENSORRT]["trt_engine_cache_path"] for each in gpu.sessions]
    assert folders[0] == folders[1] != folders[2] == folders[3]
    assert len([*(tmp_path / "engines").iterdir()]) == 2


@pytest.mark.parametrize("allowed", [{}, {"cuda_graphs": True}])
def test_an_input_that_cannot_be_computed_is_refused_and_the_next_run_works(install, allowed):
    install()
    opened = open_model(dense(), policy=ProviderPolicy("cuda", **allowed))
    for wrong in (np.zeros((2, 4), np.float32), np.zeros((2, 3, 1), np.float32)):
        with pytest.raises(InputInvalid):
            opened.run({"x": wrong})
    assert opened.run({"x": ROWS})["y"].shape == (2, 2)


@pytest.mark.parametrize("allowed", [{}, {"cuda_graphs": True}])
def test_a_run_can_be_ended_from_outside(install, allowed):
    install()
    opened = open_model(dense(), policy=ProviderPolicy("cuda", **allowed))
    interrupt = Interrupt()
    interrupt.set()
    with pytest.raises(RunInterrupted):
        opened.run({"x": ROWS}, interrupt=interrupt)
