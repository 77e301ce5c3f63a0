"""How a model's configuration sets up its session and its runs. Opens no model, measures nothing.

Sources: https://github.com/triton-inference-server/onnxruntime_backend, README.md, for the
parameters; https://github.com/triton-inference-server/common, protobuf/model_config.proto. What
cannot be is refused; what has no effect here is named by `without_effect`.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from bundle import GraphLevel, SessionTuning
from bundle.policy import CUDA, OPENVINO, TENSORRT
from service.errors import LoadFailed, excerpt

__all__ = [
    "ACCELERATORS",
    "BATCH_ROWS",
    "EXECUTION_MODE",
    "INTER_OP_THREADS",
    "INTRA_OP_THREADS",
    "LEVELS",
    "MEM_ARENA",
    "MEM_PATTERN",
    "instances_of",
    "read_tuning",
    "rows_of",
    "threads_of",
    "without_effect",
]

INTRA_OP_THREADS: Final = "intra_op_thread_count"
INTER_OP_THREADS: Final = "inter_op_thread_count"
EXECUTION_MODE: Final = "execution_mode"
MEM_ARENA: Final = "enable_mem_arena"
MEM_PATTERN: Final = "enable_mem_pattern"
BATCH_ROWS: Final = "normserve.batch_rows"
"""Rows of a run that requests share. Triton has no such parameter, and passes over it: its own
``preferred_batch_size`` needs a ``max_batch_size``, which lets Triton batch without a certificate.
"""

LEVELS: Final = {
    0: GraphLevel.ALL,
    1: GraphLevel.EXTENDED,
    -1: GraphLevel.BASIC,
    2: GraphLevel.NONE,
}
"""What Triton's backend takes the numbers of ``optimization.graph.level`` for."""

ACCELERATORS: Final = {"cuda": CUDA, "tensorrt": TENSORRT, "openvino": OPENVINO}
"""The execution accelerators of Triton's backend, with the providers that they are."""

_PASSED_ON: Final = {
    CUDA: frozenset({
        "arena_extend_strategy", "cudnn_conv1d_pad_to_nc1d", "cudnn_conv_algo_search",
        "cudnn_conv_use_max_workspace", "do_copy_in_default_stream", "fuse_conv_bias",
        "gpu_mem_limit", "prefer_nhwc", "use_ep_level_unified_stream",
    }),
    TENSORRT: frozenset({
        "trt_auxiliary_streams", "trt_build_heuristics_enable", "trt_builder_optimization_level",
        "trt_max_partition_iterations", "trt_min_subgraph_size",
    }),
    OPENVINO: frozenset[str](),
}  # fmt: skip
"""Options of a provider that a model may have. Others choose the precision, which the server's
policy does, or take a path, a library or an address in memory.
"""

_PARAMETERS: Final = frozenset(
    {INTRA_OP_THREADS, INTER_OP_THREADS, EXECUTION_MODE, MEM_ARENA, MEM_PATTERN, BATCH_ROWS}
)
_HONOURED: Final = frozenset({"execution_accelerators", "graph"})
_MOST_THREADS: Final = 1024
_MOST_ROWS: Final = 2**20
_FLAGS: Final = {"0": False, "false": False, "1": True, "true": True}


def read_tuning(config: Any) -> SessionTuning:
    """How a configuration sets up the session.

    Args:
        config: a ``ModelConfig`` message.

    Raises:
        LoadFailed: a value cannot be.
    """
    level = config.optimization.graph.level
    if level not in LEVELS:
        raise LoadFailed(
            f"optimization.graph.level of its configuration is {level}; it must be 0 (every"
            " optimization), 1 (the extended ones), -1 (the basic ones) or 2 (none)"
        )
    return SessionTuning(
        level=LEVELS[level],
        inter_op_threads=_inter_op_threads(config),
        mem_arena=_flag(config, MEM_ARENA),
        mem_pattern=_flag(config, MEM_PATTERN),
        provider_options=tuple(
            (provider, key, accelerator.parameters[key])
            for accelerator in _accelerators(config)
            if (provider := ACCELERATORS.get(accelerator.name))
            for key in sorted(_PASSED_ON[provider] & set(accelerator.parameters))
        ),
    )


def threads_of(config: Any) -> int | None:
    """Threads of one run; None where the configuration says nothing.

    Raises:
        LoadFailed: the value cannot be.
    """
    wanted = f"a number of threads, {_MOST_THREADS} at most, or 0 for every core"
    return _number(config, INTRA_OP_THREADS, most=_MOST_THREADS, wanted=wanted)


def instances_of(config: Any) -> int | None:
    """Runs of the model at the same time; None unless every instance group has a count.

    Raises:
        LoadFailed: a count cannot be.
    """
    counts = [group.count for group in config.instance_group]
    if any(count < 0 for count in counts):
        raise LoadFailed(f"a count of instances is {min(counts)}; it must be at least 0")
    return sum(counts) if counts and all(counts) else None


def rows_of(config: Any) -> int | None:
    """Rows of a run that requests share; None where the configuration does not say.

    Raises:
        LoadFailed: the value cannot be.
    """
    rows = _number(config, BATCH_ROWS, most=_MOST_ROWS, wanted="a number of rows, 1 at least")
    if rows == 0:
        raise LoadFailed(f"parameter '{BATCH_ROWS}' of its configuration is 0; 1 forms no batches")
    return rows or max(config.dynamic_batching.preferred_batch_size, default=None)


def without_effect(config: Any, *, provider: str) -> Iterator[str]:
    """What a configuration sets and has no effect, by the names of its fields.

    Args:
        config: a ``ModelConfig`` message.
        provider: that the model runs on.
    """
    for field, _ in config.optimization.ListFields():
        if field.name not in _HONOURED:
            yield f"optimization.{field.name}"
    for accelerator in _accelerators(config):
        name = f"optimization.execution_accelerators.{accelerator.name}"
        if ACCELERATORS.get(accelerator.name) != provider:
            yield name
        else:
            others = set(accelerator.parameters) - _PASSED_ON[provider]
            yield from (f"{name}.{key}" for key in others)
    for key in config.parameters:
        if key not in _PARAMETERS:
            yield f"parameters.{key}"
    given = INTER_OP_THREADS in config.parameters
    if given and _text(config, INTER_OP_THREADS) != "1" and not _is_parallel(config):
        yield f"parameters.{INTER_OP_THREADS}"  # of nodes that run one after another


def _inter_op_threads(config: Any) -> int:
    wanted = f"a number of threads, {_MOST_THREADS} at most, or 0 for every core"
    threads = _number(config, INTER_OP_THREADS, most=_MOST_THREADS, wanted=wanted)
    return (threads or 0) if _is_parallel(config) else 1


def _is_parallel(config: Any) -> bool:
    wanted = "0 (one node after another) or 1 (branches at the same time)"
    return _number(config, EXECUTION_MODE, most=1, wanted=wanted) == 1


def _number(config: Any, name: str, *, most: int, wanted: str) -> int | None:
    if name not in config.parameters:
        return None
    text = _text(config, name)
    if not re.fullmatch("[0-9]{1,7}", text) or int(text) > most:
        raise _refusal(name, text, wanted)
    return int(text)


def _flag(config: Any, name: str) -> bool:
    if name not in config.parameters:
        return True
    text = _text(config, name)
    if text.lower() not in _FLAGS:
        raise _refusal(name, text, "0 or 1")
    return _FLAGS[text.lower()]


def _refusal(name: str, text: str, wanted: str) -> LoadFailed:
    return LoadFailed(
        f"parameter '{name}' of its configuration is {excerpt(text)}; it must be {wanted}"
    )


def _text(config: Any, name: str) -> str:
    return str(config.parameters[name].string_value)


def _accelerators(config: Any) -> Iterator[Any]:
    accelerators = config.optimization.execution_accelerators
    yield from accelerators.gpu_execution_accelerator
    yield from accelerators.cpu_execution_accelerator
