"""Read the traced program for what would be silently wrong in a file. Not for: tracing, converting.

torch.onnx exports a batch norm in training mode as one in eval mode, without a word, and drops
dropout: after the conversion there is nothing left to see. The undecomposed program still says it.
"""

from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from exporters.equivalents import is_one_row
from exporters.errors import (
    BatchStatistics,
    RandomAtInference,
    StateChanges,
    StatisticsInvalid,
    StuckInTraining,
    WeightsInvalid,
)
from exporters.program import (
    argument,
    data_nodes,
    has_argument,
    module_of,
    operator_name,
    strip_scope,
)

__all__ = ["require_sound", "require_stateless"]

_RANDOM_ONLY_IF = ("train", "training", "dropout_p")
_PROBABILITIES = ("p", "dropout", "dropout_p")


def require_sound(
    program: ExportedProgram, model: nn.Module, *, batch_allowed: bool
) -> tuple[str, ...]:
    """Refuse a program whose file would silently compute something else.

    Args:
        program: undecomposed.
        model: the copy that was traced, to say why a layer is as it is.
        batch_allowed: let statistics of the batch through.

    Returns:
        The layers that use statistics of the batch, which was allowed.

    Raises:
        RandomAtInference: a layer draws random numbers.
        BatchStatistics: a layer uses statistics of the batch.
        StatisticsInvalid: running statistics that are not finite.
        WeightsInvalid: weights that are no numbers.
        StuckInTraining: a layer does not use its running statistics, because it never leaves
            training mode.
    """
    _require_no_random_numbers(program, model)
    _require_finite_statistics(program)
    _require_numbers(program)
    _require_eval_instance_norms(program, model)
    data = data_nodes(program)
    layers: dict[str, str] = {}
    for node in program.graph.nodes:
        if _uses_batch_statistics(node):
            x = argument(node, "input")
            if x in data and not is_one_row(x):
                layers.setdefault(module_of(node), _why_batch(node, model))
    if layers and not batch_allowed:
        said = "; ".join(f"{_layer(name)} {why}" for name, why in layers.items())
        raise BatchStatistics(
            f"statistics of the batch at inference: {said}. Each answer would depend on the other"
            " rows of its batch. Give the layer running statistics (and its own eval mode), use a"
            " norm that needs none (GroupNorm, LayerNorm), or allow 'batch-invariance' to fail,"
            " which the bundle then says.",
            layers=tuple(layers),
        )
    return tuple(layers)


def require_stateless(decomposed: ExportedProgram) -> tuple[str, ...]:
    """Refuse a model whose outputs depend on a buffer that each call changes.

    Args:
        decomposed: the program without in-place operators, so that changes can be seen.

    Returns:
        The buffers that calls change and no output depends on.

    Raises:
        StateChanges: an output depends on such a buffer.
    """
    signature = decomposed.graph_signature
    changed = set(signature.buffers_to_mutate.values())
    placeholders = {
        name for name, buffer in signature.inputs_to_buffers.items() if buffer in changed
    }
    read = {
        strip_scope(signature.inputs_to_buffers[node.name])
        for node in _ancestors(decomposed.graph, set(signature.user_outputs))
        if node.op == "placeholder" and node.name in placeholders
    }
    if read:
        names = ", ".join(f"'{name}'" for name in sorted(read))
        raise StateChanges(
            f"the outputs depend on {names}, which every call changes; a served model keeps no"
            " state between calls. Make the state an input and an output, or switch it off in"
            " eval mode.",
            layers=tuple(sorted(name.rpartition(".")[0] for name in read)),
        )
    return tuple(sorted(strip_scope(name) for name in changed))


def _require_no_random_numbers(program: ExportedProgram, model: nn.Module) -> None:
    layers: dict[str, str] = {}
    for node in program.graph.nodes:
        if _draws(node):
            name = module_of(node)
            reason = f"calls {node.target.overloadpacket.__name__}"
            if _is_training(model, name):
                reason += " and is in training mode even after model.eval()"
            layers.setdefault(name, reason)
    if layers:
        said = "; ".join(f"{_layer(name)} {reason}" for name, reason in layers.items())
        raise RandomAtInference(
            f"random numbers at inference: {said}. No two answers would be equal. Make them an"
            " input of the model, or a fixed buffer; dropout belongs to training mode.",
            layers=tuple(layers),
        )


def _draws(node: fx.Node) -> bool:
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    if any(has_argument(node, p) and argument(node, p) == 0 for p in _PROBABILITIES):
        return False
    for flag in _RANDOM_ONLY_IF:
        if has_argument(node, flag):
            return argument(node, flag) is not False
    is_unused = not node.users and not node.target._schema.is_mutable  # type: ignore[union-attr]  # noqa: SLF001
    return not is_unused


def _require_finite_statistics(program: ExportedProgram) -> None:
    buffers = program.graph_signature.inputs_to_buffers
    tensors = {**dict(program.named_buffers()), **program.constants}
    for node in program.graph.nodes:
        if not _is_batch_norm(node) or _uses_batch_statistics(node):
            continue
        mean, variance = argument(node, "running_mean"), argument(node, "running_var")
        epsilon = argument(node, "eps")
        for statistic, least in ((mean, -torch.inf), (variance, -epsilon)):
            buffer = buffers.get(getattr(statistic, "name", ""))
            values = tensors.get(buffer) if buffer else None
            if values is None:
                continue
            bad = ~(torch.isfinite(values) & (values > least))
            if bad.any():
                channel = int(bad.nonzero()[0])
                name = module_of(node)
                raise StatisticsInvalid(
                    f"{_layer(name)} has running statistics it cannot work with:"
                    f" '{strip_scope(str(buffer))}' is {float(values[channel]):g} in channel"
                    f" {channel} ({int(bad.sum())} of {values.numel()} channels). Estimate them"
                    " again from calibration data, or load a sound checkpoint.",
                    layers=(name,),
                )


def _require_numbers(program: ExportedProgram) -> None:
    bad = {
        strip_scope(name): int(torch.isnan(weight).sum())
        for name, weight in program.named_parameters()
        if torch.isnan(weight).any()
    }
    if bad:
        said = ", ".join(f"{count} of '{name}'" for name, count in bad.items())
        raise WeightsInvalid(
            f"weights that are NaN: {said}. Every answer that they reach would be NaN; load a sound"
            " checkpoint (was training stable?).",
            layers=tuple(dict.fromkeys(name.rpartition(".")[0] for name in bad)),
        )


def _require_eval_instance_norms(program: ExportedProgram, model: nn.Module) -> None:
    """InstanceNorm in training mode needs no batch, but its eval mode is another function."""
    for node in program.graph.nodes:
        name = module_of(node)
        if (
            operator_name(node) == "instance_norm"
            and argument(node, "use_input_stats")
            and argument(node, "running_mean") is not None
            and _is_training(model, name)
        ):
            raise StuckInTraining(
                f"{_layer(name)} is in training mode even after model.eval() (is train()"
                " overridden?), so that it leaves its running statistics aside. Let its train()"
                " pass the mode on, or build it with track_running_stats=False.",
                layers=(name,),
            )


def _is_batch_norm(node: fx.Node) -> bool:
    return "batch_norm" in operator_name(node) and has_argument(node, "eps")


def _uses_batch_statistics(node: fx.Node) -> bool:
    if not _is_batch_norm(node):
        return False
    if has_argument(node, "training"):
        return bool(argument(node, "training"))
    return "no_training" not in operator_name(node) and "no_update" not in operator_name(node)


def _why_batch(node: fx.Node, model: nn.Module) -> str:
    has_statistics = (
        has_argument(node, "running_mean") and argument(node, "running_mean") is not None
    )
    if not has_statistics:
        return "has no running statistics (track_running_stats=False)"
    if _is_training(model, module_of(node)):
        return "is in training mode even after model.eval() (is train() overridden?)"
    return "calls batch_norm with training=True"


def _is_training(model: nn.Module, name: str) -> bool:
    try:
        return model.get_submodule(name).training
    except AttributeError:
        return False


def _layer(name: str) -> str:
    return f"layer '{name}'" if name else "the model itself"


def _ancestors(graph: fx.Graph, names: set[str]) -> Iterator[fx.Node]:
    """The nodes with these names and everything they are computed from."""
    pending = [node for node in graph.nodes if node.name in names]
    seen = set(pending)
    while pending:
        node = pending.pop()
        yield node
        for source in node.all_input_nodes:
            if source not in seen:
                seen.add(source)
                pending.append(source)
