"""Loop and Scan: followed iteration by iteration, with the values that they really have.

Where what goes into the states and results has stayed the same for some iterations, it is taken to
stay so. A loop that does not settle is followed up to a limit.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from bundle.certificate import Operator
from bundle.checks.reach.bits import (
    MARKS,
    NOTHING,
    POSITION,
    ROWS,
    SIZE,
    Bits,
    Reach,
    anything,
    compact,
    merge,
    nothing,
)
from bundle.checks.reach.body import Arrays, body_of, large_value, small_values
from bundle.checks.reach.step import Step, Unreasoned
from bundle.checks.reach.walk import BodyRule, Scope, Walk, blamed

__all__ = ["BODIES"]

_MOST_ITERATIONS = 64
_SETTLED = 8
"""So many iterations that are like the one before say what all that follow are like."""


def _loop(walk: Walk, step: Step, scope: Scope) -> list[Reach]:
    graph: onnx.GraphProto = step.attribute("body")
    operator = Operator.of(step.node, inside=scope.inside)
    names = [value.name for value in graph.input]
    count = int(step.value(0).reshape(())) if step.has(0) else _MOST_ITERATIONS + 1
    running = bool(step.value(1).reshape(())) if step.has(1) else True
    # as many iterations as there are rows: then each stands for a position
    ordinal = POSITION | SIZE if step.has(0) and step.marks(0) else NOTHING
    control = ordinal & SIZE
    states = [step.reach(i) for i in range(2, len(step.inputs))]
    given = dict(zip(names[2:], step.node.input[2:], strict=True))
    large = {inner: large_value(scope, outer) for inner, outer in given.items()}
    small = small_values(scope, given)
    large |= _counters(names, 0, running=running)
    small = small and {**small, **_counters(names, 0, running=running)}
    body = body_of(walk, step, scope, graph, large, small)
    pieces: list[list[Reach]] = [[] for _ in graph.output[1 + len(states) :]]
    sized: Mapping[str, frozenset[int]] | None = None
    iteration = 0
    alike = 0
    before: list[Reach] = []
    stop = (step.all_of(0, 1)) & ROWS
    while running and iteration < count and alike < _SETTLED:
        if iteration >= _MOST_ITERATIONS:
            raise Unreasoned(f"it does not settle in {_MOST_ITERATIONS} iterations")
        counter = Reach(np.full((), ordinal, np.uint32), ())
        results, inner = body.follow(
            walk,
            reaches={
                **dict(zip(names, [counter, Reach(nothing(0), ())], strict=False)),
                **dict(zip(names[2:], states, strict=True)),
            },
            large={**large, **_counters(names, iteration, running=running)},
            small=small if iteration == 0 else None,
            sized=sized,
        )
        alike, before = alike + 1 if _is_alike(before, results) else 0, results
        sized = inner.trace.sized
        values = inner.trace.large
        running = bool(values[graph.output[0].name].reshape(()))
        stop |= anything(results[0].bits) & (ROWS | MARKS)
        states = results[1 : 1 + len(states)]
        large |= dict(
            zip(names[2:], (values[o.name] for o in graph.output[1 : 1 + len(states)]), strict=True)
        )
        for piece, reach in zip(pieces, results[1 + len(states) :], strict=True):
            piece.append(reach)
        iteration += 1
    control |= stop & ROWS | (SIZE if stop & MARKS else NOTHING)
    return _joined(step, operator, states, pieces, axes=[0] * len(pieces), control=control)


def _scan(walk: Walk, step: Step, scope: Scope) -> list[Reach]:
    graph: onnx.GraphProto = step.attribute("body")
    operator = Operator.of(step.node, inside=scope.inside)
    scanned = int(step.attribute("num_scan_inputs"))
    first = len(step.inputs) - scanned
    if walk.opset < 9:
        raise Unreasoned("Scan has a batch of its own below opset 9")
    axes = list(step.attribute("scan_input_axes", [0] * scanned))
    backwards = list(step.attribute("scan_input_directions", [0] * scanned))
    names = [value.name for value in graph.input]
    states = [step.reach(i) for i in range(first)]
    length = step.shape(first)[axes[0]]
    outer = dict(zip(names, step.node.input, strict=True))
    whole = {name: large_value(scope, outer[name]) for name in names}
    whole_small = small_values(scope, outer)
    large = {name: whole[name] for name in names[:first]}
    taken = dict(zip(names[first:], zip(axes, backwards, strict=True), strict=True))
    example = {**large, **_slices(whole, taken, 0)}
    body = body_of(walk, step, scope, graph, example, whole_small)
    pieces: list[list[Reach]] = [[] for _ in graph.output[first:]]
    sized: Mapping[str, frozenset[int]] | None = None
    alike = 0
    before: list[Reach] = []
    for iteration in range(length):
        if alike >= _SETTLED:
            break
        if iteration >= _MOST_ITERATIONS:
            raise Unreasoned(f"it does not settle in {_MOST_ITERATIONS} iterations")
        small = None
        if iteration == 0 and whole_small is not None:
            small = {**whole_small, **_slices(whole_small, taken, 0)}
        results, inner = body.follow(
            walk,
            reaches={
                **dict(zip(names, states, strict=False)),
                **{
                    name: _slice(step.reach(first + i), taken[name], iteration)
                    for i, name in enumerate(names[first:])
                },
            },
            large={**large, **_slices(whole, taken, iteration)},
            small=small,
            sized=sized,
        )
        alike, before = alike + 1 if _is_alike(before, results) else 0, results
        sized = inner.trace.sized
        states = results[:first]
        large = {
            name: inner.trace.large[output.name]
            for name, output in zip(names[:first], graph.output[:first], strict=True)
        }
        for piece, reach in zip(pieces, results[first:], strict=True):
            piece.append(reach)
    out_axes = list(step.attribute("scan_output_axes", [0] * len(pieces)))
    out_backwards = list(step.attribute("scan_output_directions", [0] * len(pieces)))
    ordered = [p[::-1] if back else p for p, back in zip(pieces, out_backwards, strict=True)]
    return _joined(step, operator, states, ordered, axes=out_axes, control=NOTHING)


def _joined(
    step: Step,
    operator: Operator,
    states: Sequence[Reach],
    pieces: Sequence[Sequence[Reach]],
    *,
    axes: Sequence[int],
    control: np.uint32,
) -> list[Reach]:
    """The outputs of a loop: its last states, and what each iteration gave, one behind another."""
    found: list[tuple[Bits, Sequence[Reach]]] = [(state.bits, [state]) for state in states]
    for position, (piece, axis) in enumerate(zip(pieces, axes, strict=True)):
        rank = len(step.out(len(states) + position))
        if not piece:
            found.append((nothing(rank), []))
            continue
        bits = [np.expand_dims(reach.bits, axis % rank) for reach in piece]
        common = np.broadcast_shapes(*(b.shape for b in bits))
        whole = compact(np.concatenate([np.broadcast_to(b, common) for b in bits], axis % rank))
        length = step.out(len(states) + position)[axis % rank]
        if whole.shape[axis % rank] not in (1, length):
            whole = merge(whole, [axis % rank])  # not all iterations were followed
        found.append((whole, piece))
    return [
        blamed(
            Reach(bits | control, step.shapes[i], sized=step.sized[i], shaped=control),
            given,
            operator,
        )
        for i, (bits, given) in enumerate(found)
    ]


def _is_alike(before: Sequence[Reach], now: Sequence[Reach]) -> bool:
    return len(before) == len(now) and all(
        np.array_equal(one.bits, two.bits) for one, two in zip(before, now, strict=True)
    )


def _counters(names: Sequence[str], iteration: int, *, running: bool) -> dict[str, np.ndarray]:
    return {names[0]: np.array(iteration, np.int64), names[1]: np.array(running)}


def _slices(
    whole: Arrays, taken: Mapping[str, tuple[int, int]], iteration: int
) -> dict[str, np.ndarray]:
    return {
        name: whole[name].take(-1 - iteration if back else iteration, axis)
        for name, (axis, back) in taken.items()
    }


def _slice(reach: Reach, taken: tuple[int, int], iteration: int) -> Reach:
    axis, back = taken
    bits, shape = reach.bits, reach.shape or ()
    axis %= len(shape)
    place = min(shape[axis] - 1 - iteration if back else iteration, bits.shape[axis] - 1)
    return Reach(
        bits.take(place, axis),
        shape[:axis] + shape[axis + 1 :],
        sized=frozenset(a - (a > axis) for a in reach.sized if a != axis),
        shaped=reach.shaped,
        cause=reach.cause,
        moved=reach.moved,
    )


BODIES: Mapping[str, BodyRule] = {"Loop": _loop, "Scan": _scan}
"""By operator."""
