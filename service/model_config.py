"""A model's configuration, as Triton has it. Reads and writes the message; changes no model.

Source: https://github.com/triton-inference-server/common, protobuf/model_config.proto, and
https://github.com/triton-inference-server/server, docs/protocol/extension_model_configuration.md.
``config.pbtxt`` is that message as text.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format, text_format
from google.protobuf.descriptor import FieldDescriptor

from bundle.tensors import Datatype, TensorSpec
from service.codec.text import parse_object
from service.errors import JsonInvalid, LoadFailed, ParameterInvalid, excerpt
from service.grpc.schema import POOL, message
from service.signature import Signature

__all__ = [
    "config_as_json",
    "config_of",
    "read_config",
    "read_config_file",
    "read_json_config",
    "read_labels",
]

_FILE: Final = "config.pbtxt"

_PLATFORM: Final = "onnxruntime_onnx"
_BACKEND: Final = "onnxruntime"

_ModelConfig = message("ModelConfig")
_WIDE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def read_config(text: str) -> Any:
    """The message that a ``config.pbtxt`` is.

    Raises:
        LoadFailed: it is not one.
    """
    try:
        return text_format.Parse(text, _ModelConfig())
    except text_format.ParseError as err:
        raise LoadFailed(f"config.pbtxt cannot be read: {err}") from err


def read_json_config(text: str) -> Any:
    """The message that a client's JSON is, with protobuf's names or in camel case.

    Raises:
        ParameterInvalid: it is none.
    """
    try:
        return json_format.ParseDict(
            parse_object(text.encode()), _ModelConfig(), descriptor_pool=POOL
        )
    except (JsonInvalid, json_format.ParseError) as err:
        raise ParameterInvalid(
            f"parameter 'config' is not the JSON of a ModelConfig: {excerpt(str(err))}"
        ) from err


def read_config_file(folder: Path) -> Any | None:
    """The configuration of a model's folder, if it has one.

    Raises:
        LoadFailed: there is a ``config.pbtxt`` that is none, or that cannot be read.
    """
    path = folder / _FILE
    try:
        return read_config(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as err:
        raise LoadFailed(f"{_FILE} cannot be read: {_reason(err)}") from err


def read_labels(config: Any | None, folder: Path) -> dict[str, tuple[str, ...]]:
    """The labels of each output that names a file of them, one a line, in the model's folder.

    Raises:
        LoadFailed: the file is not there, or is outside the folder.
    """
    labels = {}
    for output in () if config is None else config.output:
        if not output.label_filename:
            continue
        path = folder / output.label_filename
        if not path.resolve().is_relative_to(folder.resolve()):
            raise LoadFailed(
                f"the labels of output {excerpt(output.name)} are outside the model's folder:"
                f" {excerpt(output.label_filename)}"
            )
        try:
            labels[output.name] = tuple(path.read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as err:
            raise LoadFailed(
                f"the labels {excerpt(output.label_filename)} cannot be read: {_reason(err)}"
            ) from err
    return labels


def config_of(name: str, signature: Signature, *, written: Any | None = None) -> Any:
    """The configuration that a model version is served with, as a ``ModelConfig`` message.

    Args:
        name: of the model.
        signature: of the version.
        written: what its ``config.pbtxt`` says. With a ``max_batch_size`` above 0 the dimensions of
            inputs and outputs leave out the batch, as there.
    """
    config = _ModelConfig()
    if written is not None:
        config.CopyFrom(written)
    config.name = name
    config.platform = _PLATFORM
    config.backend = _BACKEND
    skipped = 1 if config.max_batch_size > 0 else 0
    for field, specs in (("input", signature.inputs), ("output", signature.outputs)):
        said = {tensor.name: tensor for tensor in getattr(config, field)}
        complete = [_tensor(said.get(spec.name), spec, skipped, field=field) for spec in specs]
        config.ClearField(field)
        getattr(config, field).extend(complete)
    return config


def config_as_json(config: Any) -> dict[str, Any]:
    """A configuration as Triton writes it: protobuf's names, every field, integers as numbers."""
    written: dict[str, Any] = json_format.MessageToDict(
        config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _narrow(written, config.DESCRIPTOR)
    return written


def _reason(error: OSError | UnicodeDecodeError) -> str:
    """Without the path, which is the server's own."""
    return str(error) if isinstance(error, UnicodeDecodeError) else str(error.strerror)


def _tensor(said: Any | None, spec: TensorSpec, skipped: int, *, field: str) -> Any:
    tensor = message("ModelInput" if field == "input" else "ModelOutput")()
    if said is not None:
        tensor.CopyFrom(said)
    tensor.name = spec.name
    kind = "STRING" if spec.datatype is Datatype.BYTES else spec.datatype.value
    tensor.data_type = (
        tensor.DESCRIPTOR.fields_by_name["data_type"]
        .enum_type.values_by_name[f"TYPE_{kind}"]
        .number
    )
    tensor.ClearField("dims")
    tensor.dims.extend(-1 if isinstance(size, str) else size for size in spec.shape[skipped:])
    return tensor


def _narrow(written: dict[str, Any], descriptor: Any) -> None:
    """Protobuf's JSON has 64-bit integers as text: make numbers of them, in place."""
    for field in descriptor.fields:
        value = written.get(field.name)
        if value is None:
            continue
        if field.cpp_type in _WIDE:
            written[field.name] = [int(v) for v in value] if isinstance(value, list) else int(value)
        elif field.message_type is not None:
            for inner, kind in _messages(value, field.message_type):
                _narrow(inner, kind)


def _messages(value: Any, kind: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    if kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"].message_type
        if inner is not None:
            yield from ((each, inner) for each in value.values())
    elif isinstance(value, list):
        yield from ((each, kind) for each in value)
    else:
        yield value, kind
