"""The digest of a model: of its file, and of its external data where it has any."""

import hashlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bundle.errors import ModelInvalid

__all__ = ["model_sha256"]


def model_sha256(model: Path | onnx.ModelProto) -> str:
    """The digest of a model.

    Raises:
        ModelInvalid: a file cannot be read.
    """
    if isinstance(model, onnx.ModelProto):
        return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    try:
        digests = [_digest(path) for path in (model, *_data_files(model))]
    except (OSError, DecodeError) as err:
        raise ModelInvalid(f"'{model}' cannot be read whole: {err}") from err
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _data_files(path: Path) -> list[Path]:
    model = onnx.load_model(path, load_external_data=False)
    locations = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / location for location in sorted(locations)]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
