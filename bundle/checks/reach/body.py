"""The body of an If, a Loop or a Scan, run and followed by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bundle.certificate import Operator
from bundle.checks.reach.bits import Reach
from bundle.checks.reach.step import Step, Unreasoned
from bundle.checks.reach.trace import TracedGraph, free_names
from bundle.checks.reach.walk import Scope, Walk

__all__ = ["Arrays", "Body", "body_of", "large_value", "small_values"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a node, ready to be run with values for its inputs.

    Attributes:
        graph: as the file has it, its inputs being all that it takes from outside.
        traced: the same, instrumented.
        inside: the node that holds it and those around that.
        large: the values that it takes from the graph around, with the larger batch.
        small: the same with the smaller batch; None where that was not run.
        reaches: what is known of them.
    """

    graph: onnx.GraphProto
    traced: TracedGraph
    inside: tuple[str, ...]
    large: Arrays
    small: Arrays | None
    reaches: Mapping[str, Reach]

    def follow(
        self,
        walk: Walk,
        *,
        reaches: Mapping[str, Reach],
        large: Arrays,
        small: Arrays | None,
        sized: Mapping[str, frozenset[int]] | None = None,
    ) -> tuple[list[Reach], Scope]:
        """Run it once and follow what it does."""
        both = self.small is not None and small is not None
        trace = self.traced.trace(
            {**self.large, **large}, {**(self.small or {}), **(small or {})} if both else None
        )
        if sized is not None:
            trace = replace(trace, sized=sized)
        scope = Scope(self.graph, trace, {**self.reaches, **reaches}, self.inside)
        results = walk.follow(scope)
        return [results[output.name] for output in self.graph.output], scope


def body_of(
    walk: Walk,
    step: Step,
    scope: Scope,
    graph: onnx.GraphProto,
    inputs: Arrays,
    small_inputs: Arrays | None,
) -> Body:
    """The body of a node, as a graph of its own.

    Args:
        walk: says the opsets.
        step: the node.
        scope: the graph around it.
        graph: the body.
        inputs: a value for each of its own inputs, with the larger batch: they give the types.
        small_inputs: the same with the smaller batch; None where there is none.

    Raises:
        ModelInvalid: ONNX Runtime refuses it.
        Unreasoned: a value that it takes from the graph around is not known.
    """
    free = {name: name for name in free_names(graph)}
    unknown = [name for name in free if name not in scope.reaches]
    if unknown:
        raise Unreasoned(f"'{unknown[0]}' is not known")
    large = {name: large_value(scope, name) for name in free}
    small = None if small_inputs is None else small_values(scope, free)
    model = onnx.ModelProto(ir_version=walk.model.ir_version)
    model.opset_import.extend(walk.model.opset_import)
    model.graph.CopyFrom(graph)
    del model.graph.input[:]
    del model.graph.value_info[:]
    for name, array in {**large, **inputs}.items():
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.input.append(helper.make_tensor_value_info(name, element, [None] * array.ndim))
    return Body(
        graph=model.graph,
        traced=TracedGraph(model, keep_outputs=True),
        inside=(*scope.inside, str(Operator.of(step.node))),
        large=large,
        small=small,
        reaches={name: scope.reaches[name] for name in free},
    )


def large_value(scope: Scope, name: str) -> np.ndarray:
    """The value of a tensor, with the larger batch.

    Raises:
        Unreasoned: it was not kept.
    """
    if name in scope.trace.large:
        return scope.trace.large[name]
    for tensor in scope.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    raise Unreasoned(f"the value of '{name}' is not known")


def small_values(scope: Scope, names: Mapping[str, str]) -> dict[str, np.ndarray] | None:
    """Values with the smaller batch, inner name → value; None where it was not run."""
    if not scope.trace.small:
        return None
    return {
        inner: scope.trace.small[outer] if outer in scope.trace.small else large_value(scope, outer)
        for inner, outer in names.items()
    }
