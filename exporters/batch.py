"""Does a row's answer depend on its neighbours? Tried in float64, traced to the layer that does it.

Not for: batch norms that say what they do (`exporters.scan`), or a certificate for serving: this
finds norms that compute statistics of the batch by hand, which nothing in the program names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import fx
from torch.export import ExportedProgram

from exporters.convert import Converted, Subject
from exporters.dimensions import Dimensions
from exporters.eager import Eager
from exporters.errors import BatchStatistics
from exporters.probes import random_like
from exporters.program import argument, data_nodes, has_argument, module_of, operator_name
from exporters.sizes import resize

__all__ = ["NOISE", "layers_over_batch", "movement_by_neighbours", "require_own_rows"]

_ROWS = (4, 2, 8, 3)
_LOUDER = 3.0
NOISE = 1e-9
"""Of the largest value. Same batch size, same kernels: a row that depends on nothing else moves by
rounding at most, and in float64 that is below 1e-12."""
_SEED = 20_171_120
_REDUCTIONS = frozenset({
    "linalg_vector_norm", "mean", "norm", "std", "std_mean", "sum", "var", "var_mean",
})  # fmt: skip


def require_own_rows(subject: Subject, converted: Converted, *, allowed: bool) -> Converted:
    """Refuse, or record, layers that compute statistics of the batch without a batch norm.

    Args:
        subject: the model; without a float64 twin it is not tried.
        converted: what was made of it.
        allowed: record them.

    Raises:
        BatchStatistics: rows move with their neighbours, a layer reduces over the batch, and that
            was not allowed.
    """
    if subject.wide is None:
        return converted
    movement = movement_by_neighbours(subject.wide, subject.example, subject.dimensions)
    if movement is None or movement <= NOISE:
        return converted
    known = set(converted.batch_dependent)
    found = [
        layer
        for layer in layers_over_batch(converted.program, subject.dimensions)
        if layer not in known
    ]
    if found and not allowed:
        said = ", ".join(f"'{layer}'" if layer else "the model itself" for layer in found)
        raise BatchStatistics(
            f"statistics of the batch at inference: {said} reduces over the batch axis, and a row's"
            f" answer moved by {movement:.2g} of its range when the other rows were exchanged."
            " Compute them over each row alone, keep running statistics for eval mode, or allow"
            " 'batch-invariance' to fail, which the bundle then says.",
            layers=tuple(found),
        )
    return replace(converted, batch_dependent=(*converted.batch_dependent, *found))


def movement_by_neighbours(
    wide: Eager, example: Sequence[torch.Tensor], dimensions: Dimensions
) -> float | None:
    """How far the first row of an answer moves when the other rows are exchanged.

    Args:
        wide: the model in float64.
        example: inputs.
        dimensions: of which the batch is the first that is axis 0 of an input.

    Returns:
        The largest movement, relative to the output's largest value, over the outputs that have as
        many rows as the batch; or None where there is no batch to try it with.
    """
    batch = _batch_of(dimensions)
    if batch is None:
        return None
    generator = torch.Generator().manual_seed(_SEED)
    for rows in _ROWS:
        tensors = resize(example, dimensions, {batch: rows})
        if not wide.accepts(tensors):
            continue
        first = tuple(random_like(tensor, generator) for tensor in tensors)
        second = tuple(
            _with_other_neighbours(tensor, random_like(tensor, generator), axes, batch)
            for tensor, axes in zip(first, dimensions.axes, strict=True)
        )
        if not wide.accepts(first) or not wide.accepts(second):
            continue
        before, after = wide.run(first), wide.run(second)
        moved = [
            _movement(before[name], after[name])
            for name in wide.names
            if before[name].shape[:1] == (rows,)
        ]
        return max(moved, default=None)
    return None


def layers_over_batch(program: ExportedProgram, dimensions: Dimensions) -> tuple[str, ...]:
    """The modules that reduce data over the batch axis: means, variances, norms and sums.

    Args:
        program: undecomposed.
        dimensions: tell which input axis is the batch.
    """
    symbol = _batch_symbol(program, dimensions)
    if symbol is None:
        return ()
    data = data_nodes(program)
    layers = dict.fromkeys(
        module_of(node)
        for node in program.graph.nodes
        if node in data and operator_name(node) in _REDUCTIONS and _reduces(node, symbol)
    )
    return tuple(layers)


def _reduces(node: fx.Node, symbol: object) -> bool:
    given = node.all_input_nodes[0].meta.get("val")
    if given is None:  # behind a layer that was put in another's place, which is named itself
        return False
    shape = given.shape
    axes = argument(node, "dim") if has_argument(node, "dim") else None
    reduced = range(len(shape)) if axes in (None, []) else axes
    if isinstance(reduced, int):
        reduced = [reduced]
    return any(symbol in _symbols(shape[axis]) for axis in reduced)


def _batch_of(dimensions: Dimensions) -> str | None:
    return next((axes[0] for axes in dimensions.axes if 0 in axes), None)


def _batch_symbol(program: ExportedProgram, dimensions: Dimensions) -> object | None:
    """The symbol that torch has for the size of the batch."""
    names = program.graph_signature.user_inputs
    position = next((n for n, axes in enumerate(dimensions.axes) if 0 in axes), None)
    if position is None:
        return None
    for node in program.graph.nodes:
        if node.name == names[position]:
            return next(iter(_symbols(node.meta["val"].shape[0])), None)
    return None


def _symbols(size: object) -> frozenset[object]:
    if not isinstance(size, torch.SymInt):
        return frozenset()
    return frozenset(size.node.expr.free_symbols)


def _with_other_neighbours(
    tensor: torch.Tensor, other: torch.Tensor, axes: Mapping[int, str], batch: str
) -> torch.Tensor:
    if axes.get(0) != batch:
        return tensor
    louder = other * _LOUDER if tensor.is_floating_point() else other
    return torch.cat([tensor[:1], louder[1:]])


def _movement(before: np.ndarray, after: np.ndarray) -> float:
    if before.dtype.kind in "bui":
        return float((before[0] != after[0]).any())
    same = (before[0] == after[0]) | (np.isnan(before[0]) & np.isnan(after[0]))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        distance = np.abs(after[0] - before[0])[~same]
        scale = np.max(np.abs(before), initial=np.finfo(np.float64).tiny, where=np.isfinite(before))
    worst = float(np.max(distance))
    return worst / float(scale) if np.isfinite(worst) else float("inf")
