"""The one opener: a model file becomes something that runs. Not for: reading manifests, queues.

The exporter's checks and the service open models here and nowhere else, so that what was checked
is what is served: the same providers, the same lowering, the same session options.
"""

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from bundle.errors import (
    InputInvalid,
    ModelInvalid,
    ProviderUnavailable,
    RunFailed,
    RunInterrupted,
    UnsupportedDatatype,
)
from bundle.interrupt import Interrupt
from bundle.lowering import GROUP_NORM, INSTANCE_NORM, has_node, lower_normalizations
from bundle.providers import CPU, Provider, ProviderPolicy, has_kernel, resolve
from bundle.runtime import binding, onnxruntime
from bundle.strings import decode_elements, encode_elements
from bundle.tensors import UNNAMED, Datatype, TensorSpec
from bundle.tuning import AS_IT_COMES, GraphLevel, SessionTuning

__all__ = ["NodePlacement", "OpenModel", "Placement", "open_model"]

_RUNTIME_TYPES = {
    "bool": Datatype.BOOL,
    "uint8": Datatype.UINT8,
    "uint16": Datatype.UINT16,
    "uint32": Datatype.UINT32,
    "uint64": Datatype.UINT64,
    "int8": Datatype.INT8,
    "int16": Datatype.INT16,
    "int32": Datatype.INT32,
    "int64": Datatype.INT64,
    "float16": Datatype.FP16,
    "bfloat16": Datatype.BF16,
    "float": Datatype.FP32,
    "double": Datatype.FP64,
    "string": Datatype.BYTES,
}
_EXTERNAL_DATA_FOLDER = "session.model_external_initializers_file_folder_path"
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
_OPEN_ERRORS = (
    binding.EPFail,
    binding.Fail,
    binding.InvalidArgument,
    binding.InvalidGraph,
    binding.InvalidProtobuf,
    binding.NoSuchFile,
    binding.NotImplemented,
    binding.RuntimeException,
)
_PROTOBUF_LIMIT = 2**31 - 1
_LEVELS = {
    GraphLevel.ALL: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    GraphLevel.EXTENDED: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    GraphLevel.BASIC: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    GraphLevel.NONE: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


@dataclass(frozen=True, slots=True)
class NodePlacement:
    """Where one node of the optimized graph runs."""

    name: str
    op_type: str
    provider: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where every node of the optimized graph runs, as ONNX Runtime recorded it."""

    nodes: tuple[NodePlacement, ...]

    def counts(self) -> dict[str, int]:
        """The number of nodes a provider."""
        providers = [node.provider for node in self.nodes]
        return {provider: providers.count(provider) for provider in dict.fromkeys(providers)}

    def elsewhere(self, provider: str) -> tuple[NodePlacement, ...]:
        """The nodes that do not run on the given provider."""
        return tuple(node for node in self.nodes if node.provider != provider)


class OpenModel:
    """A model that runs. Safe to run from several threads at once.

    Attributes:
        inputs: what it takes, in the file's order (initializers left out).
        outputs: what it gives, in the file's order.
        provider: the execution provider that was asked first.
        placement: where each node runs.
        lowered: the nodes that were rewritten in memory because the provider has no kernel for
            them.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, *, provider: str, lowered: tuple[str, ...]
    ) -> None:
        self._session = session
        self.inputs = _specs(session.get_inputs())
        self.outputs = _specs(session.get_outputs())
        self.provider = provider
        self.lowered = lowered
        self.placement = Placement(
            tuple(
                NodePlacement(node.name, node.op_type, part.ep_name)
                for part in session.get_provider_graph_assignment_info()
                for node in part.get_nodes()
            )
        )
        self._input_types = {spec.name: spec.datatype for spec in self.inputs}
        self._output_types = {spec.name: spec.datatype for spec in self.outputs}
        self._has_bfloat16 = Datatype.BF16 in {
            *self._input_types.values(),
            *self._output_types.values(),
        }

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        interrupt: Interrupt | None = None,
    ) -> dict[str, np.ndarray]:
        """Run the model once.

        Args:
            feeds: an array for each input, in its `Datatype.numpy` dtype.
            outputs: the names of the outputs that are wanted; all when left out or empty.
            interrupt: ends this run from another thread; for one run only.

        Returns:
            The wanted outputs by name, in their `Datatype.numpy` dtypes.

        Raises:
            InputInvalid: an input is missing, unknown or of another type, or the model cannot
                compute its shape or values.
            RunInterrupted: the run was ended.
            RunFailed: the model failed for a reason that is not its input.
        """
        self._check(feeds)
        wanted = list(outputs or self._output_types)
        arrays, escaped = self._to_runtime(feeds)
        try:
            results = self._run_session(arrays, wanted, interrupt.options if interrupt else None)
        except (binding.InvalidArgument, binding.Fail, binding.RuntimeException) as err:
            message = _first_line(err)
            if interrupt is not None and interrupt.is_set:
                raise RunInterrupted("the run was ended before it was over.") from err
            if isinstance(err, binding.RuntimeException) or "allocate memory" in message:
                raise RunFailed(f"the model failed while it ran: {message}") from err
            # kernels report a shape or an index that does not fit as one of the other two
            raise InputInvalid(f"the model cannot compute this input: {message}") from err
        except binding.EPFail as err:
            raise RunFailed(f"the execution provider failed: {_first_line(err)}") from err
        return {
            name: self._from_runtime(name, result, escaped=escaped)
            for name, result in zip(wanted, results, strict=True)
        }

    def _check(self, feeds: Mapping[str, np.ndarray]) -> None:
        if feeds.keys() != self._input_types.keys():
            raise InputInvalid(
                f"got the inputs {_quoted(feeds)}; the model wants {_quoted(self._input_types)}."
            )
        for name, array in feeds.items():
            wanted, got = self._input_types[name], Datatype.from_numpy(array.dtype)
            if got != wanted:
                raise InputInvalid(f"input '{name}' is {got}; the model wants {wanted}.")

    def _to_runtime(self, feeds: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], bool]:
        strings = [name for name in feeds if self._input_types[name] is Datatype.BYTES]
        if not strings:
            return dict(feeds), False
        decoded, escaped = decode_elements(feeds[name] for name in strings)
        return {**feeds, **dict(zip(strings, decoded, strict=True))}, escaped

    def _run_session(
        self,
        feeds: Mapping[str, np.ndarray],
        wanted: list[str],
        options: onnxruntime.RunOptions | None,
    ) -> list[Any]:
        if not self._has_bfloat16:
            result: list[Any] = self._session.run(wanted, feeds, options)
            return result
        # numpy has no bfloat16 of its own: such tensors pass as their 16 bits
        values = {name: _ort_value(array) for name, array in feeds.items()}
        return [_numpy_value(v) for v in self._session.run_with_ort_values(wanted, values, options)]

    def _from_runtime(self, name: str, result: Any, *, escaped: bool) -> np.ndarray:
        array = np.asarray(result)
        if self._output_types[name] is Datatype.BYTES:
            return encode_elements(array, escaped=escaped)
        return array


def open_model(
    source: Path | onnx.ModelProto,
    *,
    policy: ProviderPolicy = ProviderPolicy.CPU,
    threads: int = 1,
    tuning: SessionTuning = AS_IT_COMES,
    optimize: bool = True,
) -> OpenModel:
    """Open a model on the providers of a policy.

    GroupNormalization is rewritten in memory unless the first provider has a kernel for it, and
    InstanceNormalization over many elements where the first provider is the CPU.

    Args:
        source: a ``.onnx`` file (external data beside it), or a model in memory (its data inside).
        policy: where it may run.
        threads: of one run (ONNX Runtime's intra-op threads); 0 leaves it to ONNX Runtime.
        tuning: how the session is set up beside that.
        optimize: ONNX Runtime's graph optimizations; off only to compare with.

    Raises:
        ModelInvalid: the file is missing, is no ONNX model, refers to data outside its folder, or
            ONNX Runtime refuses it.
        ProviderUnavailable: the policy requires a provider that is not there or does not start.
    """
    providers = _with_options(resolve(policy), tuning)
    path = source if isinstance(source, Path) else None
    model = _load(source) if isinstance(source, Path) else source
    options = _session_options(threads=threads, tuning=tuning, optimize=optimize)
    lowered: tuple[str, ...] = ()
    inaccurate = _inaccurate(model, providers[0])
    if has_node(model, inaccurate):
        if path is None:
            model = _copy(model)
        lowered = lower_normalizations(model, inaccurate)
    content: str | bytes
    if path is not None and not lowered:
        content = os.fspath(path)
    else:
        if path is not None:
            options.add_session_config_entry(_EXTERNAL_DATA_FOLDER, os.fspath(path.parent))
        content = _serialize(model)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=list(providers))
    except _OPEN_ERRORS as err:
        where = f"'{path}'" if path else "the model"
        raise ModelInvalid(f"ONNX Runtime refuses {where}: {_first_line(err)}") from err
    _require_started(session, providers)
    return OpenModel(session, provider=providers[0][0], lowered=lowered)


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model(path, load_external_data=False)
    except FileNotFoundError as err:
        raise ModelInvalid(f"there is no model file '{path}'.") from err
    except (OSError, DecodeError) as err:
        raise ModelInvalid(f"'{path}' is no ONNX model: {err}") from err
    if not model.HasField("graph"):
        raise ModelInvalid(f"'{path}' is no ONNX model: it holds no graph.")
    folder = path.parent.resolve()
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and not (folder / entry.value).resolve().is_relative_to(
                folder
            ):
                raise ModelInvalid(
                    f"'{path}' refers to data outside its folder: '{entry.value}' for the"
                    f" initializer '{tensor.name}'."
                )
    return model


def _with_options(providers: Sequence[Provider], tuning: SessionTuning) -> tuple[Provider, ...]:
    return tuple(
        (name, usual | {key: value for of, key, value in tuning.provider_options if of == name})
        for name, usual in providers
    )


def _session_options(
    *, threads: int, tuning: SessionTuning, optimize: bool
) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = tuning.inter_op_threads
    if tuning.inter_op_threads != 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = tuning.mem_arena
    options.enable_mem_pattern = tuning.mem_pattern
    options.graph_optimization_level = _LEVELS[tuning.level if optimize else GraphLevel.NONE]
    for pool in ("intra_op", "inter_op"):  # a thread that waits leaves its core to others
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    # fatal only: errors come as exceptions too, and a client could flood the log with refused runs
    options.log_severity_level = 4
    options.add_session_config_entry(_RECORD_PLACEMENT, "1")
    return options


def _inaccurate(model: onnx.ModelProto, provider: Provider) -> frozenset[str]:
    """The operators that a provider computes less accurately than `bundle.lowering` does."""
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    found = set()
    if not has_kernel(provider[0], GROUP_NORM, opset=opset):
        found.add(GROUP_NORM)
    if provider[0] == CPU:
        found.add(INSTANCE_NORM)
    return frozenset(found)


def _require_started(session: onnxruntime.InferenceSession, providers: Sequence[Provider]) -> None:
    wanted, got = providers[0][0], session.get_providers()
    if got[0] != wanted:
        raise ProviderUnavailable(
            f"{wanted} is installed but did not start, ONNX Runtime fell back to {got[0]};"
            " check the driver and the CUDA and cuDNN libraries, or choose provider policy 'cpu'."
        )


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _serialize(model: onnx.ModelProto) -> bytes:
    if model.ByteSize() > _PROTOBUF_LIMIT:
        raise ModelInvalid(
            "the model is over 2 GiB in memory; write it to a file with external data first."
        )
    content: bytes = model.SerializeToString()
    return content


def _specs(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=value.name, datatype=_datatype(value), shape=_shape(value.shape))
        for value in values
    )


def _shape(dimensions: Sequence[int | str | None]) -> tuple[int | str, ...]:
    # ONNX Runtime invents names such as "unk__0" for dimensions that have none
    return tuple(
        UNNAMED if dim is None or (isinstance(dim, str) and dim.startswith("unk__")) else dim
        for dim in dimensions
    )


def _datatype(value: Any) -> Datatype:
    element = value.type.removeprefix("tensor(").removesuffix(")")
    try:
        return _RUNTIME_TYPES[element]
    except KeyError:
        raise ModelInvalid(
            f"'{value.name}' is a {value.type}; only dense tensors of the protocol's types"
            f" ({', '.join(Datatype)}) can be served."
        ) from None


def _ort_value(array: np.ndarray) -> onnxruntime.OrtValue:
    datatype = Datatype.from_numpy(array.dtype)
    if datatype is Datatype.BYTES:
        raise UnsupportedDatatype("a model with both BF16 and BYTES tensors cannot be run.")
    contiguous = np.asarray(array, order="C")  # keeps a scalar a scalar
    if datatype is Datatype.BF16:
        bits = contiguous.view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, datatype.onnx)
    return onnxruntime.OrtValue.ortvalue_from_numpy(contiguous)


def _numpy_value(value: onnxruntime.OrtValue) -> np.ndarray:
    if value.element_type() != onnx.TensorProto.BFLOAT16:
        return np.asarray(value.numpy())
    shape, size = tuple(value.shape()), value.tensor_size_in_bytes()
    if not size:
        return np.empty(shape, Datatype.BF16.numpy)
    buffer = (ctypes.c_char * size).from_address(value.data_ptr())
    return np.frombuffer(buffer, Datatype.BF16.numpy).reshape(shape).copy()


def _first_line(error: Exception) -> str:
    """What ONNX Runtime says, without its source locations and without a second line."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    line = re.sub(
        r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Non-zero status code returned while )?", "", line
    )
    return re.sub(r"/onnxruntime_src/\S+ [^)]*\) ", "", line).rstrip(". ") + "."


def _quoted(names: Mapping[str, object]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
