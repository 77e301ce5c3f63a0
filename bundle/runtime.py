"""ONNX Runtime, imported here and nowhere else, with its telemetry off.

Its official builds send events to their maker unless ``ORT_DISABLE_TELEMETRY`` is set before the
library is loaded (its ``Privacy.md``). What a server computes with is nobody's business, so it is
set here, unless the user has set it to something else. Where another package loaded the library
first, the events that can still be suppressed are.
"""

import os
import re

_SWITCH = "ORT_DISABLE_TELEMETRY"
os.environ.setdefault(_SWITCH, "1")

import onnxruntime  # noqa: E402 - the switch is read when the library is loaded
from onnxruntime.capi import onnxruntime_pybind11_state as binding  # noqa: E402

__all__ = ["binding", "onnxruntime", "said_by"]

if os.environ[_SWITCH] == "1":
    onnxruntime.disable_telemetry_events()


def said_by(error: Exception) -> str:
    """What ONNX Runtime says, without its source locations and without a second line."""
    _, _, openvino = str(error).partition("[OpenVINO-EP] ")
    if openvino:  # the reason is on its last line
        return " ".join(openvino.split()).rstrip(". ") + "."
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    line = re.sub(
        r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Non-zero status code returned while )?", "", line
    )
    return re.sub(r"/onnxruntime_src/\S+ [^)]*\) ", "", line).rstrip(". ") + "."
