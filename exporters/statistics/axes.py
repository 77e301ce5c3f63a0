"""Over which axes does a layer share statistics, and do rows of a batch depend on one another?

Found out by perturbation: one element of the input is changed, and the outputs that move share a
statistic with it. Not read off a class or a name, and not for a verdict on serving: that is the
batch certificate's (`bundle.certificate`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from bundle.document import Document
from exporters.errors import InputsInvalid, first_line
from exporters.prepare import copy_in_eval, quiet_state
from exporters.statistics import perturb
from exporters.statistics.shared import Shared, shared_axes
from exporters.statistics.weight_axes import WeightAxes, measure_weights

__all__ = ["AxesMeasurement", "Learned", "Reach", "measure_axes"]

_POSITIONS = 24
_BATCH = 0
_NAMES = {1: "N", 2: "NC", 3: "NCL", 4: "NCHW", 5: "NCDHW"}
_NAMES_FEATURES_LAST = {3: "NLC", 4: "NHWC", 5: "NDHWC"}


class Reach(Document):
    """What shares a statistic with an element, in one mode.

    Attributes:
        axes: along which; none where the layer works with nothing but constants.
        batch_dependent: whether the batch axis is among them.
    """

    axes: tuple[Shared, ...]
    batch_dependent: bool

    def __str__(self) -> str:
        """The axes, or a dash."""
        return ", ".join(map(str, self.axes)) or "-"


class Learned(Document):
    """A parameter, and what one of its numbers belongs to.

    Attributes:
        parameter: its name in the layer.
        axes: the axes of the output that it tells apart; none where each number is for everything.
    """

    parameter: str
    axes: tuple[str, ...]


class AxesMeasurement(Document):
    """What was measured of a layer.

    Attributes:
        layer: its qualified name, empty for a layer by itself.
        kind: its class, and what its weights are computed by.
        shape: of the input that it was measured with.
        names: of the input's axes.
        train: in training mode; None where it returns no single tensor to look at (an LSTM whose
            weights are normalized).
        eval: the same in eval mode.
        learned: its parameters that reach the output.
        weights: that it normalizes.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    train: Reach | None
    eval: Reach | None
    learned: tuple[Learned, ...]
    weights: tuple[WeightAxes, ...]


def measure_axes(
    layer: nn.Module,
    example: torch.Tensor,
    *,
    others: tuple[Any, ...] = (),
    names: Sequence[str] | None = None,
    name: str = "",
    most_positions: int = _POSITIONS,
) -> AxesMeasurement:
    """Measure over which axes a layer shares statistics of its input.

    A layer that is an affine function of its input, whichever of it that mixes (a convolution), has
    no statistics of it.

    Args:
        layer: takes a float tensor and returns one; stays as it is. Needs at least two of what it
            may share along each axis.
        example: its shape counts, (batch, ...); the values are random.
        others: further arguments of the layer, held fixed; floats are made float64.
        names: of the axes; where left out, N, C, H, W and the like, with the features last where
            the parameters belong to the last axis.
        name: of the layer, for the record.
        most_positions: how many elements to perturb, one at a time.

    Raises:
        InputsInvalid: the layer does not run with such an input.
    """
    shape = tuple(example.shape)
    with quiet_state():
        twin = copy_in_eval(layer).double()
        _replace_zeros(twin)
        fixed = tuple(x.double() if _is_float(x) else x for x in others)
        state = {key: value.clone() for key, value in twin.state_dict().items()}

        def function(*, training: bool) -> perturb.Map:
            def run(x: torch.Tensor) -> torch.Tensor:
                twin.train(training).load_state_dict(state)
                returned: torch.Tensor = twin(x, *fixed)
                return returned.double()

            return run

        train = in_eval = None
        learned: dict[str, tuple[int, ...]] = {}
        try:
            if isinstance(twin(torch.zeros(shape, dtype=torch.float64), *fixed), torch.Tensor):
                positions = perturb.positions(shape, most_positions)
                train = _spans(function(training=True), shape, positions)
                in_eval = _spans(function(training=False), shape, positions)
                learned = dict(_learned(twin, function(training=False), shape, state))
        # The layer's forward may raise anything.
        except Exception as err:
            raise InputsInvalid(
                f"{name or type(layer).__name__} does not run with a float64 input of shape"
                f" {shape}: {type(err).__name__}: {first_line(err)}"
            ) from err
        twin.eval().load_state_dict(state)
        weights = tuple(measure_weights(twin))
    known = tuple(names or _default_names(len(shape), tuple(learned.values())))
    return AxesMeasurement(
        layer=name,
        kind=" + ".join([_plain(layer), *(weight.kind for weight in weights)]),
        shape=shape,
        names=known,
        train=_reach(train, shape, known),
        eval=_reach(in_eval, shape, known),
        learned=tuple(
            Learned(parameter=parameter, axes=tuple(known[axis] for axis in axes))
            for parameter, axes in learned.items()
        ),
        weights=weights,
    )


def _replace_zeros(twin: nn.Module) -> None:
    """By ones, in place: a channel that is multiplied by 0 never moves, and would hide an axis."""
    for parameter in twin.parameters():
        parameter.masked_fill_(parameter == 0, 1)


def _spans(
    function: perturb.Map, shape: Sequence[int], positions: Sequence[tuple[int, ...]]
) -> list[int]:
    """How many places share a statistic along each axis; 1 where none do."""
    spans = [1] * len(shape)
    if perturb.affine(function, shape):
        return spans
    for position in positions:
        moves = perturb.moved(function, shape, position)
        if moves.shape == torch.Size(shape):
            found = perturb.spans(moves, position)
        else:  # places correspond along the batch alone
            rows = moves.flatten(1).any(1) if moves.ndim > 1 else moves
            found = perturb.spans(rows, position[:1])
        spans = [max(pair) for pair in zip(spans, found + spans[len(found) :], strict=True)]
    return spans


def _reach(spans: list[int] | None, shape: Sequence[int], names: Sequence[str]) -> Reach | None:
    if spans is None:
        return None
    return Reach(axes=shared_axes(spans, shape, names), batch_dependent=spans[_BATCH] > 1)


def _default_names(rank: int, learned: Sequence[tuple[int, ...]]) -> Sequence[str]:
    """Where parameters tell the last axis apart and not axis 1, the features are last."""
    is_last = (rank - 1,) in learned and not any(1 in axes for axes in learned)
    names = (_NAMES_FEATURES_LAST if is_last else {}).get(rank) or _NAMES.get(rank)
    return names or tuple(map(str, range(rank)))


def _learned(
    twin: nn.Module,
    function: perturb.Map,
    shape: Sequence[int],
    state: dict[str, torch.Tensor],
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Change the first and the last number of each parameter: which axes of the output it tells.

    Parameters that do not reach the output are left out.
    """
    for parameter, values in twin.named_parameters():
        told_apart: set[int] = set()
        reached = False
        for place in {0, values.numel() - 1} if values.numel() else ():
            position = tuple(int(i) for i in torch.unravel_index(torch.tensor(place), values.shape))
            moves = _moved_by(parameter, position, function, shape, state)
            if moves.ndim == len(shape) and moves.any():
                reached = True
                told_apart |= {axis for axis, all_ in enumerate(perturb.covered(moves)) if not all_}
        if reached:
            yield parameter, tuple(sorted(told_apart))


def _moved_by(
    parameter: str,
    position: tuple[int, ...],
    function: perturb.Map,
    shape: Sequence[int],
    state: dict[str, torch.Tensor],
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(perturb.SEED)
    x = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    before = function(x)
    own = state[parameter].clone()
    state[parameter][position] += 1
    try:
        return (function(x) - before).abs() > 0
    finally:
        state[parameter].copy_(own)


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _plain(layer: nn.Module) -> str:
    """The class, without what a re-parametrization makes of it."""
    return parametrize.type_before_parametrizations(layer).__name__
