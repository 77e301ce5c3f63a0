"""Golden samples: inputs with the outputs that torch gave, and replaying them on an open model.

On disk in ONNX's own layout (``test_data_set_N/input_K.pb, output_K.pb``, one ``TensorProto`` a
file, K in the order of the model's tensors), so that other tools can replay them too.
Source: https://github.com/onnx/onnx/blob/v1.19.0/docs/OnnxBackendTest.md
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from bundle.comparison import OutputComparison, Tolerance, compare
from bundle.errors import SamplesInvalid
from bundle.tensors import Datatype, TensorSpec

__all__ = ["Sample", "encode_samples", "read_samples", "replay"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of the model: named inputs, and the outputs that are right for them."""

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


class Runs(Protocol):
    """A model that runs."""

    def run(self, feeds: Mapping[str, np.ndarray], /) -> Mapping[str, np.ndarray]:
        """All outputs, by name; see `bundle.OpenModel.run`."""
        ...


def encode_samples(
    samples: Iterable[Sample], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> dict[str, bytes]:
    """The files of some samples: path below the version folder → content.

    Raises:
        SamplesInvalid: a sample lacks a tensor that the model has.
    """
    files: dict[str, bytes] = {}
    for number, sample in enumerate(samples):
        for kind, specs, arrays in (
            ("input", inputs, sample.inputs),
            ("output", outputs, sample.outputs),
        ):
            for position, spec in enumerate(specs):
                if spec.name not in arrays:
                    raise SamplesInvalid(
                        f"golden sample {number} has no {kind} '{spec.name}';"
                        f" it has {', '.join(arrays) or 'none'}."
                    )
                path = f"test_data_set_{number}/{kind}_{position}.pb"
                files[path] = _to_proto(arrays[spec.name], spec.name).SerializeToString()
    return files


def read_samples(
    folder: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[Sample, ...]:
    """The samples of a version folder, in the order of their numbers; empty if it has none.

    Raises:
        SamplesInvalid: a file is missing, unreadable, or not of the model's type.
    """
    numbered = sorted(
        (int(path.name.removeprefix("test_data_set_")), path)
        for path in folder.glob("test_data_set_*")
        if path.name.removeprefix("test_data_set_").isdecimal()
    )
    return tuple(
        Sample(inputs=_read(path, "input", inputs), outputs=_read(path, "output", outputs))
        for _, path in numbered
    )


def replay(
    model: Runs, samples: Iterable[Sample], tolerances: Mapping[str, Tolerance]
) -> tuple[OutputComparison, ...]:
    """Run every sample and compare with its outputs.

    Args:
        model: `bundle.OpenModel`, or whatever runs as it does.
        samples: what it is run with.
        tolerances: for each float output.

    Returns:
        One comparison an output and sample, sample by sample.

    Raises:
        InputInvalid: the model does not take a sample's inputs.
        RunFailed: the model failed while it ran.
    """
    return tuple(
        comparison
        for sample in samples
        for comparison in compare(sample.outputs, model.run(sample.inputs), tolerances)
    )


def _read(folder: Path, kind: str, specs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    return {
        spec.name: _from_file(folder / f"{kind}_{position}.pb", spec)
        for position, spec in enumerate(specs)
    }


def _from_file(path: Path, spec: TensorSpec) -> np.ndarray:
    proto = onnx.TensorProto()
    try:
        proto.ParseFromString(path.read_bytes())
        array = _to_array(proto)
    except (OSError, DecodeError, ValueError, TypeError) as err:
        raise SamplesInvalid(f"golden sample '{path}' cannot be read: {err}") from err
    if proto.data_type != spec.datatype.onnx:
        raise SamplesInvalid(
            f"golden sample '{path}' holds {Datatype.from_onnx(proto.data_type)};"
            f" the model has {spec}."
        )
    return array


def _to_proto(array: np.ndarray, name: str) -> onnx.TensorProto:
    if Datatype.from_numpy(array.dtype) is not Datatype.BYTES:
        return numpy_helper.from_array(np.asarray(array, order="C"), name)
    proto = onnx.TensorProto(name=name, data_type=onnx.TensorProto.STRING, dims=array.shape)
    proto.string_data.extend(e.encode() if isinstance(e, str) else e for e in array.flat)
    return proto


def _to_array(proto: onnx.TensorProto) -> np.ndarray:
    if proto.data_type != onnx.TensorProto.STRING:
        return numpy_helper.to_array(proto)
    result = np.empty(len(proto.string_data), dtype=object)
    for position, element in enumerate(proto.string_data):
        result[position] = element
    return result.reshape(tuple(proto.dims))
