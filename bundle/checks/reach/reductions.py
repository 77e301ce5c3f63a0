"""Operators that bring the elements along some axes together: sums, normalizations, orders."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bundle.checks.reach.bits import POSITION, Bits, compact, merge
from bundle.checks.reach.step import Rule, Step, Unreasoned

__all__ = ["RULES"]

_FLATTENED_BELOW = 13
"""Softmax and its kin: one axis since opset 13, everything from the axis on before."""


def _reduce(step: Step) -> list[Bits]:
    """Reduce*: axes as an attribute or as an input; all where there are none."""
    rank = step.rank(0)
    axes = step.attribute("axes")
    if axes is None and step.has(1):
        axes = step.value(1).tolist()
    if not axes:
        axes = [] if step.attribute("noop_with_empty_axes", 0) else range(rank)
    axes = sorted(axis % rank for axis in axes)
    merged = step.merged(0, axes)
    return [merged if step.attribute("keepdims", 1) else _drop(merged, axes)]


def _arg(step: Step) -> list[Bits]:
    """ArgMax, ArgMin."""
    axis = step.axis(0)
    merged = step.merged(0, [axis])
    return [merged if step.attribute("keepdims", 1) else _drop(merged, [axis])]


def _softmax(step: Step) -> list[Bits]:
    rank = step.rank(0)
    if step.opset < _FLATTENED_BELOW:
        return [step.merged(0, range(step.axis(1), rank))]
    return [step.merged(0, [step.axis(-1)])]


def _along(default: int) -> Callable[[Step], list[Bits]]:
    def rule(step: Step) -> list[Bits]:
        return [step.merged(0, [step.axis(default)])]

    return rule


def _cumulate(step: Step) -> list[Bits]:
    """CumSum, CumProd: over a batch even of constants, it counts positions."""
    axis = int(step.value(1).reshape(())) % step.rank(0)
    merged = step.merged(0, [axis])
    return [merged | POSITION if axis in step.reach(0).sized else merged]


def _top(step: Step) -> list[Bits]:
    """TopK: values and indices."""
    merged = step.merged(0, [step.axis(-1)])
    return [merged, merged]


def _from_axis_on(step: Step) -> list[Bits]:
    """LayerNormalization, RMSNormalization: (Ba et al. 2016, Zhang & Sennrich 2019)."""
    rank = step.rank(0)
    axis = step.axis(-1)
    merged = step.merged(0, range(axis, rank))
    result = merged
    for position in (1, 2):
        if step.has(position):
            result = result | step.bits(position)
    return [result, *(merged for _ in step.node.output[1:])]


def _skip_layer_norm(step: Step) -> list[Bits]:
    """com.microsoft.SkipLayerNormalization: of a sum, over the last axis."""
    total = step.bits(0) | step.bits(1)
    merged = merge(total, [total.ndim - 1])
    return [
        merged | step.all_of(2, 3, 4),
        *(merged for _ in step.node.output[1:]),
    ]


def _instance_norm(step: Step) -> list[Bits]:
    merged = step.merged(0, range(2, step.rank(0)))
    return [merged | _by_channel(step, 1) | _by_channel(step, 2)]


def _group_norm(step: Step) -> list[Bits]:
    shape, groups = step.shape(0), int(step.attribute("num_groups"))
    merged = step.merged(0, range(2, len(shape)))
    if merged.shape[1] > 1:
        grouped = merged.reshape(merged.shape[0], groups, -1)
        each = np.repeat(merge(grouped, [2])[..., 0], shape[1] // groups, axis=1)
        merged = compact(each.reshape(each.shape + (1,) * (len(shape) - 2)))
    parameters = step.all_of(1, 2)
    return [merged | parameters]


def _mean_variance(step: Step) -> list[Bits]:
    """MeanVarianceNormalization: by default over the batch too."""
    return [step.merged(0, step.attribute("axes", (0, 2, 3)))]


def _local_response(step: Step) -> list[Bits]:
    return [step.merged(0, [1])]


def _global_pool(step: Step) -> list[Bits]:
    return [step.merged(0, range(2, step.rank(0)))]


def _determinant(step: Step) -> list[Bits]:
    rank = step.rank(0)
    return [_drop(step.merged(0, (rank - 2, rank - 1)), (rank - 2, rank - 1))]


def _dynamic_quantize(step: Step) -> list[Bits]:
    """DynamicQuantizeLinear: one scale from the extremes of the whole tensor."""
    everything = step.merged(0, range(step.rank(0)))
    return [everything, everything.reshape(()), everything.reshape(())]


def _fourier(step: Step) -> list[Bits]:
    """DFT: the axis is an input since opset 20, an attribute before."""
    rank = step.rank(0)
    if step.has(2):
        return [step.merged(0, [int(step.value(2).reshape(())) % rank, rank - 1])]
    default = 1 if step.opset < 20 else -2
    return [step.merged(0, [step.axis(default), rank - 1])]


def _short_fourier(step: Step) -> list[Bits]:
    """STFT: (batch, samples[, 1]) → (batch, frames, frequencies, 2)."""
    merged = step.merged(0, range(1, step.rank(0)))
    return [merged.reshape(-1, 1, 1, 1) | step.all_of(2)]


def _everything(step: Step) -> list[Bits]:
    """Unique, NonZero, NonMaxSuppression: where an element lands depends on all the others."""
    bits = step.everything()
    if any(reach is not None and reach.sized for reach in step.inputs):
        bits |= POSITION
    return [np.full((1,) * len(step.out(i)), bits) for i in range(len(step.node.output))]


def _by_channel(step: Step, position: int) -> Bits:
    channels = step.bits(position)
    return channels.reshape([1, -1, *([1] * (step.rank(0) - 2))])


def _drop(bits: Bits, axes: Sequence[int]) -> Bits:
    if any(bits.shape[axis] != 1 for axis in axes):
        raise Unreasoned("an axis that is dropped is longer than 1")
    return bits.reshape([n for axis, n in enumerate(bits.shape) if axis not in axes])


_REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]

RULES: Mapping[str, Rule] = {
    **{f"Reduce{kind}": _reduce for kind in _REDUCTIONS},
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("CumSum", "CumProd"), _cumulate),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    **dict.fromkeys(
        ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), _from_axis_on
    ),
    **dict.fromkeys(("Unique", "NonZero", "NonMaxSuppression"), _everything),
    "LpNormalization": _along(-1),
    "TfIdfVectorizer": _along(-1),
    "Normalizer": _along(-1),
    "TopK": _top,
    "SkipLayerNormalization": _skip_layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "MeanVarianceNormalization": _mean_variance,
    "LRN": _local_response,
    "Det": _determinant,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "DFT": _fourier,
    "STFT": _short_fourier,
}
"""By operator."""
