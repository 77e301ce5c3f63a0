"""A request and its answer in one file, to be asked again. Asks nothing itself.

A ZIP archive: ``record.json`` says what was asked of whom and how the answer came about, and beside
it lie the tensors in ONNX's own layout, as the golden samples of a bundle do
(``test_data_set_0/input_0.pb``, ``output_0.pb`` …), so that other tools can read them too.
"""

import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from bundle import BundleError, Datatype, Sample, TensorSpec, read_samples
from bundle.document import Document
from bundle.golden import encode_samples

__all__ = [
    "Record",
    "RecordInvalid",
    "Recording",
    "read_recording",
    "specs_of",
    "write_recording",
]

_RECORD = "record.json"
_DAMAGED = (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class RecordInvalid(Exception):
    """A file is no recording that can be read."""


class Record(Document):
    """What is recorded beside the tensors: ``record.json``.

    Attributes:
        format: of the file.
        created: when it was asked, with its time zone.
        model: that was asked.
        version: that answered.
        inputs: the tensors of the request, in the order of their files.
        outputs: the tensors of the reply, in the order of their files.
        provenance: the parameters of the reply; empty where the server gave none.
    """

    format: Literal[1] = 1
    created: datetime
    model: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provenance: dict[str, bool | int | float | str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """A record with its tensors.

    Attributes:
        record: what was asked of whom.
        sample: the arrays, by the names of the tensors.
    """

    record: Record
    sample: Sample


def write_recording(path: Path, recording: Recording) -> None:
    """Write a file, in place of what is there.

    Raises:
        OSError: it cannot be written.
    """
    record = recording.record
    files = encode_samples([recording.sample], record.inputs, record.outputs)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_RECORD, record.model_dump_json(indent=2))
        for name, content in files.items():
            archive.writestr(name, content)


def read_recording(path: Path) -> Recording:
    """Read a file.

    Raises:
        RecordInvalid: it is none, or is damaged.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="normserve-record-") as folder:
            with zipfile.ZipFile(path) as archive:
                record = Record.model_validate_json(archive.read(_RECORD))
                archive.extractall(folder)
            (sample,) = read_samples(Path(folder), record.inputs, record.outputs)
    except (*_DAMAGED, BundleError) as err:
        raise RecordInvalid(f"'{path}' is no recording: {_said(err)}") from err
    return Recording(record, sample)


def specs_of(arrays: Mapping[str, np.ndarray]) -> tuple[TensorSpec, ...]:
    """What arrays are: names, datatypes and shapes."""
    return tuple(
        TensorSpec(name=name, datatype=Datatype.from_numpy(array.dtype), shape=array.shape)
        for name, array in arrays.items()
    )


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return str(error)
