"""What a model runs on, by name: results are as alike as the kernels, and those differ."""

import platform
from functools import cache
from pathlib import Path

from bundle.providers import CPU
from bundle.runtime import onnxruntime

__all__ = ["device_of", "runtime"]

_CPUINFO = Path("/proc/cpuinfo")


def runtime() -> str:
    """The runtime's name and version."""
    return f"onnxruntime {onnxruntime.__version__}"


@cache
def device_of(provider: str) -> str:
    """The name of the processor, or of the devices that ONNX Runtime finds for a provider."""
    if provider == CPU:
        return f"{platform.machine()} {_processor()}".strip()
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == provider]
    names = [f"{device.ep_vendor} {device.device.device_id:#x}" for device in devices]
    return ", ".join(names) or f"{provider} on {platform.machine()}"


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor()
