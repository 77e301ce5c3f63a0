"""The options of each execution provider, each with its reason. Decides not which one is used.

What is left out is ONNX Runtime's default.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bundle.policy import CUDA, OPENVINO, TENSORRT, ProviderPolicy

__all__ = ["RECORDING", "engine_options", "forbid_tf32", "influences", "options_of"]

_CUDA: Final = MappingProxyType({
    # EXHAUSTIVE, the default, benchmarks every new input shape at request time.
    "cudnn_conv_algo_search": "HEURISTIC",
    # Grow by what is asked for, not to the next power of two: several models share one device.
    "arena_extend_strategy": "kSameAsRequested",
})  # fmt: skip

_TENSORRT: Final = MappingProxyType({
    # Half precision is a variant of the model that is made and proved as such, not a switch.
    "trt_fp16_enable": "0",
    "trt_int8_enable": "0",
})  # fmt: skip

_OPENVINO: Final = MappingProxyType({
    # A processor: its devices would be chosen by what is plugged in.
    "device_type": "CPU",
    # The default computes in bfloat16 where the processor has it: 8 bits of mantissa.
    "precision": "FP32",
    # One stream: runs at the same time are the service's to form, and each has its own threads.
    "num_streams": "1",
})  # fmt: skip

RECORDING: Final = MappingProxyType({"enable_cuda_graph": "1"})
"""Of CUDA, for a session whose runs are recorded."""

_TF32_SWITCH: Final = "NVIDIA_TF32_OVERRIDE"


def options_of(provider: str, policy: ProviderPolicy, *, threads: int) -> dict[str, str]:
    """A provider's options.

    Args:
        provider: its name.
        policy: what is allowed.
        threads: of one run; 0 leaves it to the provider.
    """
    if provider == CUDA:
        # TF32 keeps 10 bits of mantissa: errors of 1e-3 that no float32 tolerance explains.
        return {**_CUDA, "use_tf32": "1" if policy.allow_tf32 else "0"}
    if provider == TENSORRT:
        return dict(_TENSORRT)
    if provider == OPENVINO:
        return {**_OPENVINO, "num_of_threads": str(threads)} if threads else dict(_OPENVINO)
    return {}


def influences(provider: str, policy: ProviderPolicy, *, threads: int) -> dict[str, str]:
    """Everything about a provider that may change how it rounds, beside its name and its device."""
    options = options_of(provider, policy, threads=threads)
    if provider == TENSORRT and policy.allow_tf32:
        options["tf32"] = "1"
    if provider == CUDA and policy.cuda_graphs:
        options |= RECORDING
    return options


def engine_options(provider: str, folder: Path | None) -> Mapping[str, str]:
    """Where a provider keeps what it compiles.

    Args:
        provider: its name.
        folder: of one model's file: ONNX Runtime names an engine after the graph and not after its
            weights, so that in a common folder a model may get another's weights
            (https://github.com/microsoft/onnxruntime/issues/6455).
    """
    if provider != TENSORRT or folder is None:
        return {}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": os.fspath(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": os.fspath(folder),
    }


def forbid_tf32(provider: str, policy: ProviderPolicy) -> None:
    """Keep TensorRT from using TF32, for this process, unless the policy allows it.

    ONNX Runtime has no option for it; NVIDIA's libraries read the environment when they are loaded
    (https://github.com/microsoft/onnxruntime/issues/26029). What the user has set stays.
    """
    if provider == TENSORRT and not policy.allow_tf32:
        os.environ.setdefault(_TF32_SWITCH, "0")
