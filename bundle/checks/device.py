"""What a model runs on, by name: results are as alike as the kernels, and those differ."""

import platform
from functools import cache
from pathlib import Path

from bundle.providers import CPU, CUDA, OPENVINO, TENSORRT
from bundle.runtime import onnxruntime

__all__ = ["device_of", "gpu_names", "runtime"]

_CPUINFO = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def runtime() -> str:
    """The runtime's name and version."""
    return f"onnxruntime {onnxruntime.__version__}"


@cache
def device_of(provider: str) -> str:
    """The name of the processor or of the GPUs, or of what ONNX Runtime finds for a provider."""
    if provider in (CUDA, TENSORRT) and (gpus := gpu_names()):
        return ", ".join(gpus)
    if provider in (CPU, OPENVINO):  # OpenVINO is asked for the processor
        return f"{platform.machine()} {_processor()}".strip()
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == provider]
    names = [f"{device.ep_vendor} {device.device.device_id:#x}" for device in devices]
    return ", ".join(names) or f"{provider} on {platform.machine()}"


def gpu_names(folder: Path = _GPUS) -> list[str]:
    """The models of this machine's NVIDIA GPUs, as their driver tells them."""
    found = []
    for file in sorted(folder.glob("*/information")):
        fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        found.append(fields.get("Model", "").strip() or file.parent.name)
    return found


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor()
