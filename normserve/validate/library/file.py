"""Is the model file valid ONNX, and does ONNX Runtime open it?

Explained in ``docs/checks/file.md``.
"""

import onnx
from google.protobuf.message import DecodeError

from bundle import Finding, ModelInvalid, open_model
from normserve.validate.ondisk import OnDisk

__all__ = ["NAME", "check"]

NAME = "file"

_OLDEST_OPSET = 7
"""ONNX Runtime promises compatibility from ONNX 1.2 (opset 7) on.
Source: https://onnxruntime.ai/docs/reference/compatibility.html"""


def check(on_disk: OnDisk) -> Finding:
    """Hold the file against the ONNX standard, then open it as the service does."""
    try:
        opset = _opset(onnx.load_model(on_disk.model, load_external_data=False))
    except (OSError, DecodeError) as err:
        return _finding("fail", f"the file cannot be read: {err}", "export the model again")
    invalid = _invalid(on_disk)
    try:
        open_model(on_disk.model, policy=on_disk.policy, threads=on_disk.threads)
    except ModelInvalid as err:
        said = f"it is not valid ONNX: {invalid}" if invalid else f"valid ONNX, opset {opset}"
        return _finding("fail", f"{err} ({said})", _remedy(opset, invalid))
    if invalid:
        return _finding(
            "warn",
            f"ONNX Runtime opens it, but it is not valid ONNX: {invalid}",
            "mend what wrote the file: another runtime, or a later version, may refuse it",
        )
    return _finding("pass", f"valid ONNX, opset {opset}, and ONNX Runtime opens it")


def _opset(model: onnx.ModelProto) -> int:
    """Of the standard operators; 1 where a file of the first ONNX versions names none."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def _invalid(on_disk: OnDisk) -> str:
    """What contradicts the standard, on one line; empty where nothing does."""
    try:
        onnx.checker.check_model(str(on_disk.model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        return " ".join(str(err).split()) or type(err).__name__
    return ""


def _remedy(opset: int, invalid: str) -> str:
    if opset < _OLDEST_OPSET and not invalid:
        return (
            f"convert the file to opset {_OLDEST_OPSET} or later, the oldest that ONNX Runtime"
            " supports: onnx.version_converter.convert_version(model, 21)"
        )
    return "export the model again, with operators that ONNX Runtime has"


def _finding(status: str, meaning: str, remedy: str = "") -> Finding:
    return Finding(
        check=NAME, status=status, measured=None, tolerance=None, meaning=meaning, remedy=remedy
    )
