"""The axes of every normalization layer of a network, and whether its rows depend on one another.

Each layer is measured by itself (`exporters.statistics.axes`), with an input of the shape that it
has in the network. For the whole network one row of its input is exchanged, and the other rows'
outputs are looked at.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bundle.document import Document
from exporters.calls import Example
from exporters.errors import ExportError
from exporters.prepare import quiet_state
from exporters.probes import random_like
from exporters.statistics.axes import AxesMeasurement, measure_axes
from exporters.statistics.gap import GapProgress
from exporters.statistics.perturb import SEED
from exporters.statistics.rows import Batch, Rows
from exporters.statistics.twin import Twin, has_computed_weights

__all__ = ["NetworkAxes", "measure_network"]

_ROWS = 3
_POSITIONS = 6
_EXTENT = 7
_MOVED = 1e-5
"""Of the largest value of an output, in the model's own precision. Rows that depend on nothing else
are computed from the same numbers in the same order."""


class NetworkAxes(Document):
    """What was measured of a network.

    Attributes:
        layers: its normalization layers of data, and layers whose weights are normalized.
        unmeasured: layers that could not be, with the reason.
        train: whether exchanging a row moved others in training mode (of the normalizations alone;
            dropout stays off); None where no batch could be tried, or answers are random.
        eval: the same in eval mode.
    """

    layers: tuple[AxesMeasurement, ...]
    unmeasured: dict[str, str]
    train: bool | None
    eval: bool | None


def measure_network(
    model: nn.Module, calls: Sequence[Example] | Rows, *, progress: GapProgress | None = None
) -> NetworkAxes:
    """Measure every normalization layer of a network, and the network.

    Args:
        model: stays as it is.
        calls: inputs, or the rows of them; their shapes count, and the range of their values.
        progress: is told of each layer.

    Raises:
        InputsInvalid: the calls do not fit the model.
        ModelNotCopyable: it cannot be copied.
    """
    with quiet_state():
        rows = calls if isinstance(calls, Rows) else Rows.of(model, calls)
        twin = Twin(model, rows.call)
        batch = _random_batch(rows)
        inputs = _inputs_of_layers(twin, batch)
        measured: list[AxesMeasurement] = []
        unmeasured: dict[str, str] = {}
        for done, (name, (x, others)) in enumerate(inputs.items()):
            if progress is not None:
                progress(done, len(inputs), name)
            layer = twin.model.get_submodule(name)
            try:
                measured.append(
                    measure_axes(
                        layer,
                        _cropped(layer, x, others),
                        others=others,
                        name=name,
                        most_positions=_POSITIONS,
                    )
                )
            except ExportError as err:
                unmeasured[name] = str(err)
        if progress is not None:
            progress(len(inputs), len(inputs), "")
        in_eval = _rows_depend(twin, rows, batch)
        with twin.training():
            in_training = _rows_depend(twin, rows, batch)
    return NetworkAxes(
        layers=tuple(measured), unmeasured=unmeasured, train=in_training, eval=in_eval
    )


def _random_batch(rows: Rows) -> Batch:
    """Random rows like the first call's; as they were given where nothing counts rows."""
    generator = torch.Generator().manual_seed(SEED)
    tensors = rows.calls[0]
    count = rows.count(tensors)
    if not count:
        return tensors
    places = torch.arange(_ROWS) % count
    return tuple(
        random_like(tensor[places], generator) if is_batched else tensor
        for tensor, is_batched in zip(tensors, rows.batched, strict=True)
    )


def _inputs_of_layers(
    twin: Twin, batch: Batch
) -> dict[str, tuple[torch.Tensor, tuple[torch.Tensor, ...]]]:
    """The first call of each layer: what it normalizes, and its further tensors."""
    found: dict[str, tuple[torch.Tensor, tuple[torch.Tensor, ...]]] = {}

    def see(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
        if name not in found and tensors and tensors[0].is_floating_point():
            found[name] = tensors[0].detach(), tuple(tensors[1:])

    weights = {n: m for n, m in twin.model.named_modules() if has_computed_weights(m)}
    with twin.watched(see, also=weights):
        twin.run(batch)
    return found


def _cropped(layer: nn.Module, x: torch.Tensor, others: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """A smaller picture or volume, where the layer takes one: large ones show nothing more."""
    for axis in range(2, x.ndim if x.ndim > len("NCL") else 0):
        smaller = x.narrow(axis, 0, min(x.shape[axis], _EXTENT))
        try:
            layer(smaller, *others)
        except Exception:  # noqa: BLE001, S112 - a forward may raise anything, which is the answer
            continue
        x = smaller
    return x


def _rows_depend(twin: Twin, rows: Rows, batch: Batch) -> bool | None:
    """Whether any output row but the first moves when the first row of the input is exchanged."""
    count = rows.count(batch)
    if count < 2 or twin.is_random(batch):
        return None
    generator = torch.Generator().manual_seed(SEED + 1)
    other = tuple(
        torch.cat([random_like(tensor, generator)[:1], tensor[1:]]) if is_batched else tensor
        for tensor, is_batched in zip(batch, rows.batched, strict=True)
    )
    before, after = twin.run(batch), twin.run(other)
    moved = [
        _differ(before[name][1:], after[name][1:])
        for name in before
        if before[name].shape[:1] == (count,) and before[name].shape == after[name].shape
    ]
    return any(moved) if moved else None


def _differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    if not one.is_floating_point():
        return not torch.equal(one, other)
    scale = float(one.abs().max()) if one.numel() else 0.0
    return bool(((one - other).abs() > _MOVED * scale).any())
