"""Whether each output row of a model is its own row's: the result of following a batch."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import inliner
from pydantic import BaseModel, ConfigDict

from bundle.certificate import Operator, Standing
from bundle.checks.reach import branches, loops
from bundle.checks.reach.bits import RANDOM, ROWS, Reach, anything, by_row
from bundle.checks.reach.rules import ONNX, rule_of
from bundle.checks.reach.trace import TracedGraph
from bundle.checks.reach.walk import Scope, Walk
from bundle.errors import BundleError

__all__ = ["Independence", "examine", "follow_rows"]

_BODIES = {**branches.BODIES, **loops.BODIES}


class Independence(BaseModel):
    """What the static scan found.

    Attributes:
        standing: the result.
        operator: the one that reaches over the batch axis.
        reason: one sentence, for a person.
        unknown: the operators that rows go through and that cannot be reasoned about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    standing: Standing
    operator: Operator | None = None
    reason: str
    unknown: tuple[Operator, ...] = ()


def examine(
    model: onnx.ModelProto, *, large: Mapping[str, np.ndarray], small: Mapping[str, np.ndarray]
) -> Independence:
    """Follow the rows of a batch through a model.

    Args:
        model: with its weights inside.
        large: an input for each name, axis 0 the batch, with 3 to 16 rows.
        small: the same with fewer rows, at least 2 if possible, all other axes as long.

    Returns:
        Whether each row of each output can be influenced by anything but its own row.
    """
    rows = next(iter(large.values())).shape[0]
    try:
        outputs, unknown = follow_rows(model, large=large, small=small)
    except BundleError as err:
        return Independence(
            standing=Standing.UNREAD, reason=f"the graph could not be followed: {err}"
        )
    for name, reach in outputs.items():
        found = _judge(name, reach, rows)
        if found is not None:
            return found.model_copy(update={"unknown": unknown})
    if unknown:
        names = ", ".join(map(str, unknown[:3]))
        return Independence(
            standing=Standing.UNKNOWN,
            reason=f"what {names} does with rows is not known",
            unknown=unknown,
        )
    return Independence(
        standing=Standing.INDEPENDENT, reason="no operator reaches over the batch axis"
    )


def follow_rows(
    model: onnx.ModelProto, *, large: Mapping[str, np.ndarray], small: Mapping[str, np.ndarray]
) -> tuple[dict[str, Reach], tuple[Operator, ...]]:
    """What may go into each element of each output.

    Args:
        model: with its weights inside.
        large: inputs, axis 0 the batch.
        small: the same with fewer rows.

    Returns:
        What is known of each output, and the operators that could not be reasoned about.

    Raises:
        BundleError: the graph cannot be run.
    """
    plain = _inlined(model)
    rows = next(iter(large.values())).shape[0]
    walk = Walk(plain, rows, bodies=_BODIES)
    trace = TracedGraph(plain).trace(large, small)
    reaches = {
        name: Reach(
            by_row(array.shape, axis=0, rows=rows),
            array.shape,
            sized=trace.sized.get(name, frozenset({0})),
        )
        for name, array in large.items()
    }
    outputs = walk.follow(Scope(plain.graph, trace, reaches))
    return outputs, tuple(dict.fromkeys(walk.unknown))


def _judge(name: str, reach: Reach, rows: int) -> Independence | None:
    """What is wrong with one output; None if nothing is."""
    if reach.shape is None:
        return Independence(
            standing=Standing.UNKNOWN, reason=f"output '{name}' could not be followed"
        )
    is_aligned = bool(reach.shape) and reach.shape[0] == rows
    own = by_row(reach.shape, axis=0, rows=rows) if is_aligned else np.uint32(0)
    strange = reach.bits & ~own
    if not anything(strange):
        return None
    operator = reach.cause or reach.moved
    who = str(operator) if operator else f"what computes '{name}'"
    if not is_aligned and reach.cause is None:
        reason = f"output '{name}' has its rows elsewhere than along axis 0 ({who})"
    elif anything(strange) & RANDOM:
        reason = f"{who} makes output '{name}' another in every run"
    elif anything(strange) & ROWS:
        reason = f"{who} brings rows of the batch together, and output '{name}' depends on it"
    else:
        reason = f"{who} makes output '{name}' depend on a row's place or the batch's size"
    return Independence(standing=Standing.REACHES, operator=operator, reason=reason)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with functions replaced by their bodies: its own, and ONNX's that have no rule."""
    strange = {
        (node.domain, node.op_type)
        for node in model.graph.node
        if node.domain in ONNX and node.op_type not in _BODIES and rule_of(node) is None
    }
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        if strange:
            model = inliner.inline_selected_functions(
                model, sorted(strange), inline_schema_functions=True
            )
    except RuntimeError:
        # what the inliner says of a type that it cannot infer: the functions stay unknown operators
        return model
    return model
