"""The one opener: a model file becomes something that runs. Not for: reading manifests, queues.

The exporter's checks and the service open models here and nowhere else, so that what was checked
is what is served: the same providers, the same lowering, the same session options.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from bundle.digest import model_sha256
from bundle.errors import ModelInvalid, PlacementRefused, ProviderUnavailable
from bundle.lowering import GROUP_NORM, INSTANCE_NORM, has_node, lower_normalizations
from bundle.model import OpenModel
from bundle.openvino_forms import rewrite_for_openvino
from bundle.placement import Placement, named
from bundle.policy import Demand
from bundle.provider_options import engine_options, forbid_tf32
from bundle.providers import (
    CPU,
    OPENVINO,
    TENSORRT,
    Provider,
    ProviderPolicy,
    has_kernel,
    resolve,
)
from bundle.runtime import onnxruntime
from bundle.session import Session
from bundle.tuning import AS_IT_COMES, GraphLevel, SessionTuning

__all__ = ["OpenModel", "Placement", "open_model"]

_EXTERNAL_DATA_FOLDER: Final = "session.model_external_initializers_file_folder_path"
_RECORD_PLACEMENT: Final = "session.record_ep_graph_assignment_info"
_PROTOBUF_LIMIT: Final = 2**31 - 1
_LEVELS: Final = {
    GraphLevel.ALL: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    GraphLevel.EXTENDED: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    GraphLevel.BASIC: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    GraphLevel.NONE: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """How a model is opened, whatever it is opened on; see `open_model`."""

    policy: ProviderPolicy
    threads: int
    tuning: SessionTuning
    spinning: bool
    optimize: bool


def open_model(
    source: Path | onnx.ModelProto,
    *,
    policy: ProviderPolicy = ProviderPolicy.CPU,
    threads: int = 1,
    tuning: SessionTuning = AS_IT_COMES,
    spinning: bool = False,
    optimize: bool = True,
) -> OpenModel:
    """Open a model on the providers of a policy.

    GroupNormalization is rewritten in memory unless the first provider has a kernel for it, and
    InstanceNormalization over many elements where the first provider is the CPU; Attention and
    RMSNormalization where it is OpenVINO, which knows neither.

    A provider that is not required, and does not start or refuses the model, is passed over for the
    next one; the placement says why.

    Args:
        source: a ``.onnx`` file (external data beside it), or a model in memory (its data inside).
        policy: where it may run.
        threads: of one run (ONNX Runtime's intra-op threads); 0 leaves it to ONNX Runtime.
        tuning: how the session is set up beside that.
        spinning: whether its threads keep their cores busy while they wait for each other.
        optimize: ONNX Runtime's graph optimizations; off only to compare with.

    Raises:
        ModelInvalid: the file is missing, is no ONNX model, refers to data outside its folder, or
            ONNX Runtime refuses it.
        ProviderUnavailable: the policy requires a provider that is not there or does not start.
        PlacementRefused: a heavy node would run on another provider than the required one.
    """
    setup = _Setup(
        policy=policy, threads=threads, tuning=tuning, spinning=spinning, optimize=optimize
    )
    providers = resolve(policy, threads=threads)
    passed_over = []
    if policy.demand is Demand.PREFER and providers[0][0] != policy.provider:
        passed_over.append(f"{policy.provider}: this ONNX Runtime does not have it")
    while True:
        try:
            model = _open(source, providers, setup, passed_over=passed_over)
        except (ModelInvalid, ProviderUnavailable) as err:
            if policy.required is not None or len(providers) == 1:
                raise
            passed_over.append(f"{providers[0][0]}: {str(err).rstrip('.')}")
            providers = providers[1:]
        else:
            break
    if policy.required is not None:
        _require_placed(model.placement, policy)
    return model


def _open(
    source: Path | onnx.ModelProto,
    providers: Sequence[Provider],
    setup: _Setup,
    *,
    passed_over: Sequence[str],
) -> OpenModel:
    """Open a model on these providers, of which the first one must start."""
    path = source if isinstance(source, Path) else None
    model = _load(source) if isinstance(source, Path) else source
    lowered: tuple[str, ...] = ()
    inaccurate = _inaccurate(model, providers[0])
    if has_node(model, inaccurate):
        if path is None:
            model = _copy(model)
        lowered = lower_normalizations(model, inaccurate)
    if providers[0][0] == OPENVINO:
        model, rewritten = rewrite_for_openvino(model)
        lowered += rewritten
    options = _session_options(setup)
    content: str | bytes
    if path is not None and not lowered:
        content = os.fspath(path)
    else:
        if path is not None:
            options.add_session_config_entry(_EXTERNAL_DATA_FOLDER, os.fspath(path.parent))
        content = _serialize(model)
    where = f"'{path}'" if path else "the model"
    session = Session.start(content, options, _with_options(source, providers, setup), where=where)
    if setup.policy.cuda_graphs and session.can_be_recorded:
        session = session.recorded()
    return OpenModel(
        session.runs(),
        inputs=session.inputs,
        outputs=session.outputs,
        provider=providers[0][0],
        placement=replace(session.placement, passed_over=tuple(passed_over)),
        lowered=lowered,
    )


def _require_placed(placement: Placement, policy: ProviderPolicy) -> None:
    astray = placement.heavy_elsewhere(policy.provider)
    if not astray:
        return
    raise PlacementRefused(
        f"provider policy '{policy}' requires {policy.provider} for every heavy node, and ONNX"
        f" Runtime would run {named(astray)}; choose 'prefer:{policy}' to allow that, or 'cpu'."
    )


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


def _with_options(
    source: Path | onnx.ModelProto, providers: Sequence[Provider], setup: _Setup
) -> tuple[Provider, ...]:
    """The providers with what this model's configuration adds, and where they keep its engines."""
    forbid_tf32(providers[0][0], setup.policy)
    tuned = setup.tuning.provider_options
    engines = setup.policy.engines
    if engines is not None and providers[0][0] == TENSORRT:
        kind = "-tf32" if setup.policy.allow_tf32 else ""
        engines /= f"{model_sha256(source)[:32]}-{onnxruntime.__version__}{kind}"
        engines.mkdir(parents=True, exist_ok=True)
    return tuple(
        (
            name,
            {
                **usual,
                **engine_options(name, engines),
                **{key: value for of, key, value in tuned if of == name},
            },
        )
        for name, usual in providers
    )


def _session_options(setup: _Setup) -> onnxruntime.SessionOptions:
    tuning = setup.tuning
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setup.threads
    options.inter_op_num_threads = tuning.inter_op_threads
    if tuning.inter_op_threads != 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = tuning.mem_arena
    options.enable_mem_pattern = tuning.mem_pattern
    options.graph_optimization_level = _LEVELS[tuning.level if setup.optimize else GraphLevel.NONE]
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", str(int(setup.spinning)))
    options.add_session_config_entry(_RECORD_PLACEMENT, "1")
    # fatal only: errors come as exceptions too, and a client could flood the log with refused runs
    options.log_severity_level = 4
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
