import os

import pytest

from bundle import ProviderPolicy, ProviderUnavailable, resolve
from bundle.provider_options import engine_options, forbid_tf32
from bundle.providers import CPU, CUDA, OPENVINO, TENSORRT, has_kernel

EVERYTHING = [TENSORRT, CUDA, OPENVINO, CPU]


def names(spelling, available=EVERYTHING):
    return [name for name, _ in resolve(ProviderPolicy(spelling), available=available)]


def options(provider, policy, threads=1):
    return dict(resolve(policy, available=EVERYTHING, threads=threads))[provider]


@pytest.mark.parametrize(
    ("spelling", "extra"),
    [("cuda", "gpu"), ("tensorrt", "gpu"), ("openvino", "openvino")],
)
def test_what_is_required_and_missing_is_an_error_that_names_what_is_there(spelling, extra):
    with pytest.raises(ProviderUnavailable, match=rf"has {CPU}; install normserve\[{extra}\]"):
        resolve(ProviderPolicy(spelling), available=[CPU])


@pytest.mark.parametrize(
    ("spelling", "wanted"),
    [
        ("cpu", [CPU]),
        ("cuda", [CUDA, CPU]),
        ("tensorrt", [TENSORRT, CUDA, CPU]),
        ("prefer:tensorrt", [TENSORRT, CUDA, CPU]),
        ("openvino", [OPENVINO, CPU]),
        ("prefer:openvino", [OPENVINO, CPU]),
        ("auto", [CUDA, CPU]),
    ],
)
def test_the_providers_of_a_policy_most_wanted_first_and_the_cpu_last(spelling, wanted):
    assert names(spelling) == wanted


@pytest.mark.parametrize("spelling", ["prefer:cuda", "prefer:tensorrt", "prefer:openvino", "auto"])
def test_what_is_not_required_may_be_missing(spelling):
    assert names(spelling, [CPU]) == [CPU]


def test_tensorrt_that_is_missing_leaves_cuda():
    assert names("prefer:tensorrt", [CUDA, CPU]) == [CUDA, CPU]


def test_cuda_computes_in_float32_and_does_not_benchmark_at_request_time():
    found = options(CUDA, ProviderPolicy.CUDA)
    assert found["use_tf32"] == "0"
    assert found["cudnn_conv_algo_search"] == "HEURISTIC"
    assert "enable_cuda_graph" not in found


def test_tf32_can_be_allowed():
    assert options(CUDA, ProviderPolicy("cuda", allow_tf32=True))["use_tf32"] == "1"


def test_tensorrt_computes_in_float32():
    found = options(TENSORRT, ProviderPolicy("tensorrt"))
    assert found["trt_fp16_enable"] == "0"
    assert found["trt_int8_enable"] == "0"


def test_tensorrt_is_kept_from_tf32_by_the_environment(monkeypatch):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    forbid_tf32(CUDA, ProviderPolicy.CUDA)
    forbid_tf32(TENSORRT, ProviderPolicy("tensorrt", allow_tf32=True))
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
    forbid_tf32(TENSORRT, ProviderPolicy("tensorrt"))
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_what_the_user_says_of_tf32_stays(monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    forbid_tf32(TENSORRT, ProviderPolicy("tensorrt"))
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"


def test_only_tensorrt_keeps_engines(tmp_path):
    assert engine_options(CUDA, tmp_path) == {}
    assert engine_options(TENSORRT, None) == {}
    assert engine_options(TENSORRT, tmp_path)["trt_engine_cache_path"] == str(tmp_path)


def test_openvino_computes_in_float32_on_the_threads_of_a_run():
    found = options(OPENVINO, ProviderPolicy("openvino"), threads=3)
    assert found["precision"] == "FP32"
    assert found["num_of_threads"] == "3"
    assert "num_of_threads" not in options(OPENVINO, ProviderPolicy("openvino"), threads=0)


def test_kernels_are_read_from_the_runtime():
    assert has_kernel(CPU, "InstanceNormalization", opset=23)
    assert not has_kernel(CPU, "NoSuchOperator", opset=23)
    assert has_kernel(CPU, "RMSNormalization", opset=23)
    assert not has_kernel(CPU, "RMSNormalization", opset=22)
