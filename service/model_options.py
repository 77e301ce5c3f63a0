"""What a model's configuration asks of the server, held against the model. Opens no model.

Source: https://github.com/triton-inference-server/common, protobuf/model_config.proto. What the
server acts on is acted on or refused; everything else that is set is reported, never ignored in
silence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bundle import AS_IT_COMES, MODEL, ProviderPolicy, SessionTuning
from bundle.providers import CPU
from bundle.tensors import TensorSpec
from service.batching import Plan
from service.errors import LoadFailed, excerpt
from service.model_tuning import instances_of, read_tuning, rows_of, threads_of, without_effect

__all__ = ["ModelOptions", "fit_tensors", "not_honoured", "read_options"]

_PLATFORMS: Final = frozenset({"", "onnxruntime_onnx"})
_BACKENDS: Final = frozenset({"", "onnxruntime"})

_HONOURED: Final = frozenset({
    "backend", "default_model_filename", "dynamic_batching", "input", "instance_group",
    "max_batch_size", "name", "optimization", "output", "parameters", "platform",
    "version_policy",
})  # fmt: skip
"""The fields of a configuration that this server acts on, some of them in part."""
_HONOURED_OF_TENSORS: Final = frozenset({"data_type", "dims", "label_filename", "name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What a configuration asks for before a model is opened.

    Attributes:
        max_batch_size: rows that a request may have; 0 where its configuration has no batch.
        threads: of one run; None for the server's setting.
        tuning: of the session.
        instances: runs at the same time; None for the server's setting.
        rows: of a run that requests share; None for what is measured.
        is_cpu_only: whether it is to run on the CPU whatever the server's setting is.
        plan: how requests share runs; None for the server's setting.
    """

    max_batch_size: int = 0
    threads: int | None = None
    tuning: SessionTuning = AS_IT_COMES
    instances: int | None = None
    rows: int | None = None
    is_cpu_only: bool = False
    plan: Plan | None = None

    def policy(self, setting: ProviderPolicy) -> ProviderPolicy:
        """Where the model runs, with the server's setting."""
        return ProviderPolicy.CPU if self.is_cpu_only else setting


def read_options(config: Any | None, *, name: str) -> ModelOptions:
    """What a configuration asks for.

    Args:
        config: a ``ModelConfig`` message, if there is one.
        name: of the model's folder.

    Raises:
        LoadFailed: it is for another model or another runtime, or a value cannot be.
    """
    if config is None:
        return ModelOptions()
    if config.name not in ("", name):
        raise LoadFailed(
            f"its configuration is for the model {excerpt(config.name)}; leave the name out, or"
            " give the folder's"
        )
    if config.platform not in _PLATFORMS or config.backend not in _BACKENDS:
        said = config.platform if config.platform not in _PLATFORMS else config.backend
        raise LoadFailed(
            f"its configuration is for {excerpt(said)}; this server runs models by"
            " 'onnxruntime_onnx' (backend 'onnxruntime')"
        )
    if config.max_batch_size < 0:
        raise LoadFailed(f"max_batch_size is {config.max_batch_size}; it must be at least 0")
    kinds = {_enum(group, "kind") for group in config.instance_group}
    return ModelOptions(
        max_batch_size=config.max_batch_size,
        threads=threads_of(config),
        tuning=read_tuning(config),
        instances=instances_of(config),
        rows=rows_of(config),
        is_cpu_only=kinds == {"KIND_CPU"},
        plan=_plan(config),
    )


def fit_tensors(
    config: Any | None, field: str, specs: Sequence[TensorSpec]
) -> tuple[TensorSpec, ...]:
    """A model's inputs or outputs as its configuration narrows them.

    A dimension that the configuration fixes is fixed for requests too, where the model leaves it
    open.

    Args:
        config: a ``ModelConfig`` message, if there is one.
        field: "input" or "output".
        specs: those of the model.

    Raises:
        LoadFailed: the configuration contradicts the model.
    """
    if config is None:
        return tuple(specs)
    said = {}
    for tensor in getattr(config, field):
        if tensor.name in said:
            raise LoadFailed(f"its configuration has the {field} {excerpt(tensor.name)} twice")
        said[tensor.name] = tensor
    unknown = next((name for name in said if name not in {spec.name for spec in specs}), None)
    if unknown is not None:
        there = ", ".join(repr(spec.name) for spec in specs) or "none"
        raise LoadFailed(
            f"its configuration has an {field} {excerpt(unknown)}; the model has {there}"
        )
    has_batch = config.max_batch_size > 0
    return tuple(_fit(spec, said.get(spec.name), field, has_batch=has_batch) for spec in specs)


def not_honoured(config: Any | None, *, provider: str, at_once: int) -> tuple[str, ...]:
    """What a configuration sets and this server does not act on, by the names of its fields.

    Args:
        config: a ``ModelConfig`` message, if there is one.
        provider: that the model runs on.
        at_once: runs of it at the same time.
    """
    if config is None:
        return ()
    found = {field.name for field, _ in config.ListFields() if field.name not in _HONOURED}
    found.update(_of_tensors(config), _of_instances(config, provider), _of_batching(config))
    found.update(without_effect(config, provider=provider))
    if (instances_of(config) or 0) > at_once:
        found.add("instance_group.count")
    if config.default_model_filename not in ("", MODEL):
        found.add("default_model_filename")
    return tuple(sorted(found))


def _fit(spec: TensorSpec, said: Any | None, field: str, *, has_batch: bool) -> TensorSpec:
    if has_batch and not (spec.shape and isinstance(spec.shape[0], str)):
        raise LoadFailed(
            f"its configuration has a max_batch_size, and {field} {spec.name!r} has no first"
            f" dimension that may vary: its shape is {_written(spec.shape)}"
        )
    if said is None:
        return spec
    kind = _enum(said, "data_type").removeprefix("TYPE_")
    wanted = "STRING" if spec.datatype.value == "BYTES" else spec.datatype.value
    if kind not in ("INVALID", wanted):
        raise LoadFailed(
            f"its configuration has {field} {spec.name!r} as TYPE_{kind}; the model has"
            f" TYPE_{wanted}"
        )
    if said.HasField("reshape") or not said.dims:
        return spec
    batch: tuple[None, ...] = (None,) if has_batch else ()
    shape = (*batch, *map(_size, said.dims))
    fits = len(shape) == len(spec.shape) and all(
        isinstance(model, str) or config == model
        for config, model in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        without = " without the batch" if has_batch else ""
        raise LoadFailed(
            f"its configuration has dims {excerpt(list(said.dims))}{without} for {field}"
            f" {spec.name!r}; the model has {_written(spec.shape)}"
        )
    if field == "output":
        return spec
    narrowed = tuple(
        model if config is None else config for config, model in zip(shape, spec.shape, strict=True)
    )
    return spec.model_copy(update={"shape": narrowed})


def _size(size: int) -> int | None:
    """A size of ``dims``; None for one that may vary."""
    if size < -1:
        raise LoadFailed(f"its configuration has a dimension {size}; sizes are 0 or more, or -1")
    return None if size == -1 else size


def _plan(config: Any) -> Plan | None:
    """How requests share runs, by ``dynamic_batching``; whether they may, a certificate says."""
    if not config.HasField("dynamic_batching"):
        return None
    batching = config.dynamic_batching
    sizes = tuple(sorted(batching.preferred_batch_size))
    if any(size < 1 for size in sizes):
        raise LoadFailed(f"preferred_batch_size is {excerpt(list(sizes))}; sizes are at least 1")
    return Plan(delay_s=batching.max_queue_delay_microseconds / 1e6, preferred=sizes)


def _of_batching(config: Any) -> Iterator[str]:
    for field, _ in config.dynamic_batching.ListFields():
        if field.name not in ("preferred_batch_size", "max_queue_delay_microseconds"):
            yield f"dynamic_batching.{field.name}"


def _of_tensors(config: Any) -> Iterator[str]:
    for name in ("input", "output"):
        for tensor in getattr(config, name):
            for field, _ in tensor.ListFields():
                if field.name not in _HONOURED_OF_TENSORS:
                    yield f"{name}.{field.name}"


def _of_instances(config: Any, provider: str) -> Iterator[str]:
    for group in config.instance_group:
        if _enum(group, "kind") == "KIND_GPU" and provider == CPU:
            yield "instance_group.kind"
        for field, _ in group.ListFields():
            if field.name not in ("name", "kind", "count"):
                yield f"instance_group.{field.name}"


def _enum(message: Any, field: str) -> str:
    """The name of an enumeration's value; its number, where it has none."""
    value = getattr(message, field)
    known = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(value)
    return str(value) if known is None else str(known.name)


def _written(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"
