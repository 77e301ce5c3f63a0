"""Follow the rows of a batch through a graph, node by node, and through the bodies of its nodes.

What each operator does is said by its rule (`bundle.checks.reach.rules`); what moves where, by a
run of the graph (`bundle.checks.reach.trace`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import numpy_helper

from bundle.certificate import Operator
from bundle.checks.reach.bits import (
    NOTHING,
    ROWS,
    Bits,
    Reach,
    anything,
    by_row,
    foulness,
    nothing,
)
from bundle.checks.reach.bounds import bounded
from bundle.checks.reach.rules import CONTENT_SHAPED, CONTROLS, KEEPS_EVEN, ONNX, rule_of
from bundle.checks.reach.step import Step, Unreasoned
from bundle.checks.reach.trace import INTEGERS, Trace, free_names
from bundle.errors import BundleError

__all__ = ["BodyRule", "Scope", "Walk", "blamed"]

_RESHAPES = frozenset({"Flatten", "Reshape"})
_MOVES = frozenset({"Gather", "Transpose"})


@dataclass(frozen=True, slots=True)
class Scope:
    """A graph that is being followed.

    Attributes:
        graph: its nodes.
        trace: what a run of it showed.
        reaches: what is known of its tensors so far.
        inside: the nodes that it is the body of, outermost first.
    """

    graph: onnx.GraphProto
    trace: Trace
    reaches: dict[str, Reach]
    inside: tuple[str, ...] = ()


BodyRule = Callable[["Walk", Step, Scope], list[Reach]]
"""What is known of each output of a node that holds graphs."""


@dataclass(slots=True)
class Walk:
    """One walk through a model.

    Attributes:
        model: says the opsets of every graph in it.
        rows: in the batch that is followed.
        bodies: how operators are followed that hold graphs themselves.
        unknown: the operators that could not be reasoned about and that rows went into.
    """

    model: onnx.ModelProto
    rows: int
    bodies: Mapping[str, BodyRule]
    unknown: list[Operator] = field(default_factory=list)

    @property
    def opset(self) -> int:
        """Of ONNX's own operators."""
        return max((o.version for o in self.model.opset_import if o.domain in ONNX), default=0)

    def follow(self, scope: Scope) -> dict[str, Reach]:
        """Follow every node of a graph.

        Returns:
            What is known of each output of the graph.
        """
        weights: dict[str, np.ndarray] = {}
        for tensor in scope.graph.initializer:
            shape = tuple(tensor.dims)
            if tensor.name not in scope.reaches:
                is_even = math.prod(shape) == 1
                scope.reaches[tensor.name] = Reach(nothing(len(shape)), shape, even=is_even)
            if tensor.data_type in INTEGERS:
                weights[tensor.name] = numpy_helper.to_array(tensor)
        for node in scope.graph.node:
            self._node(node, scope, weights)
        return {output.name: scope.reaches[output.name] for output in scope.graph.output}

    def _node(self, node: onnx.NodeProto, scope: Scope, weights: Mapping[str, np.ndarray]) -> None:
        step = self._step(node, scope, weights)
        operator = Operator.of(node, inside=scope.inside)
        try:
            if node.op_type in self.bodies and node.domain in ONNX:
                results = self.bodies[node.op_type](self, step, scope)
            else:
                results = self._apply(step, operator)
        except (Unreasoned, BundleError, IndexError, ValueError):
            # a body that does not run by itself; a node of a form that its rule does not know
            results = self._guess(step, scope, operator)
        for name, reach in zip(node.output, results, strict=False):
            if name:
                scope.reaches[name] = reach

    def _step(self, node: onnx.NodeProto, scope: Scope, weights: Mapping[str, np.ndarray]) -> Step:
        trace = scope.trace
        return Step(
            node=node,
            opset=self.opset,
            inputs=tuple(scope.reaches.get(name) if name else None for name in node.input),
            values=_integers(node.input, weights, trace.large),
            smaller=_integers(node.input, weights, trace.small),
            shapes=tuple(trace.shapes.get(name) for name in node.output),
            sized=tuple(trace.sized.get(name, frozenset()) for name in node.output),
            rows=self.rows,
        )

    def _apply(self, step: Step, operator: Operator) -> list[Reach]:
        rule = rule_of(step.node)
        if rule is None or any(reach and reach.shape is None for reach in step.inputs):
            raise Unreasoned("there is no rule for it")
        controls = CONTROLS.get(step.node.op_type, ())
        control = NOTHING
        for position in controls:
            control |= step.controlled(position)
        shaped = control
        for reach in step.inputs:
            shaped |= NOTHING if reach is None else reach.shaped
        if step.node.op_type in CONTENT_SHAPED:
            shaped |= step.everything() & ROWS
        data = [r for i, r in enumerate(step.inputs) if r is not None and i not in controls]
        is_even = step.node.op_type in KEEPS_EVEN and all(reach.even for reach in data)
        results: list[Reach] = []
        outputs = zip(step.node.output, rule(step), step.shapes, step.sized, strict=False)
        for name, bits, shape, sized in outputs:
            if name and (shape is None or not _fits(bits, shape)):
                raise Unreasoned("its output has another shape than the rule says")
            even = is_even or math.prod(shape or ()) == 1
            known = Reach(bits | control, shape, sized=sized, shaped=shaped, even=even)
            results.append(blamed(known if results else bounded(step, known), data, operator))
        return results

    def _guess(self, step: Step, scope: Scope, operator: Operator) -> list[Reach]:
        """Row by row, where the result has an axis for the batch: trials will tell."""
        bodies = [b for a in step.node.attribute for b in (a.g, *a.graphs)]
        taken = {*step.node.input, *(name for body in bodies for name in free_names(body))}
        given = [scope.reaches[name] for name in sorted(taken) if name in scope.reaches]
        everything = np.uint32(0)
        for reach in given:
            everything |= anything(reach.bits)
        if any(reach.shape is None for reach in given):
            everything |= np.uint32((1 << self.rows) - 1)  # a sequence may hold any row
        has_rows = bool(everything & ROWS)
        is_lost = any(foulness(reach.bits) for reach in given)
        if has_rows:
            self.unknown.append(operator)
        results = []
        for shape, sized in zip(step.shapes, step.sized, strict=True):
            if is_lost or not has_rows:
                bits: Bits = np.full((1,) * len(shape or ()), everything, np.uint32)
            elif shape is None:
                bits = nothing(0)
            else:
                axis = next((a for a in sorted(sized) if shape[a] % self.rows == 0), None)
                bits = (
                    np.full((1,) * len(shape), everything, np.uint32)
                    if axis is None
                    else by_row(shape, axis=axis, rows=self.rows)
                )
            results.append(blamed(Reach(bits, shape, sized=sized), given, operator))
        return results


def _fits(bits: Bits, shape: tuple[int, ...]) -> bool:
    return bits.ndim == len(shape) and all(
        have in (1, length) for have, length in zip(bits.shape, shape, strict=True)
    )


def _integers(
    names: Iterable[str], *sources: Mapping[str, np.ndarray]
) -> tuple[np.ndarray | None, ...]:
    found = (next((s[name] for s in sources if name in s), None) for name in names)
    return tuple(v if v is not None and v.dtype.kind in "biu" else None for v in found)


def blamed(reach: Reach, given: Sequence[Reach], operator: Operator) -> Reach:
    """An operator's output, with who is the cause where rows meet in it.

    Args:
        reach: of the output, its bits known.
        given: the operator's inputs.
        operator: the cause where none of the inputs has one.
    """
    cause = moved = None
    foul = foulness(reach.bits)
    if foul:
        causes = (each.cause for each in given if each.cause and foulness(each.bits) == foul)
        cause = next(causes, operator)
    if reach.has_rows:
        moved = next((each.moved for each in given if each.moved is not None), None)
        if operator.op_type in _RESHAPES or (moved is None and operator.op_type in _MOVES):
            moved = operator
    return replace(reach, cause=cause, moved=moved)
