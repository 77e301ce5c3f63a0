"""Diagnose one file against another: where they begin to differ, and why. Knows no torch."""

from collections.abc import Mapping

import numpy as np
import onnx

from bundle.diagnose.examination import Examined, Setup, examine, trusted, unoptimized
from bundle.diagnose.graph import Graph
from bundle.diagnose.precisions import precisions
from bundle.diagnose.trace import Point, Sides
from bundle.diagnose.values import InnerValues, chunks
from bundle.errors import InputInvalid
from bundle.precision.float64 import Float64Model
from bundle.precision.kinds import Precision

__all__ = ["diagnose_files", "layer_of"]

Feeds = Mapping[str, np.ndarray]

_16_BITS = frozenset({Precision.FP16, Precision.BF16})
_ROUNDED = (
    "the file under examination has 16-bit values; each was rounded to its type, because ONNX"
    " Runtime's CPU provider computes such operators in float32"
)


def diagnose_files(
    expected: onnx.ModelProto,
    actual: onnx.ModelProto,
    feeds: Feeds,
    *,
    names: tuple[str, str] = ("the first file", "the second file"),
    folded: Mapping[str, str] | None = None,
) -> Examined:
    """Compare two files at every value whose name both have.

    Args:
        expected: the one that is right, in float32, with its weights inside.
        actual: the one under examination, with its weights inside.
        feeds: inputs that both take.
        names: of the two, for a reader.
        folded: for nodes of ``actual``, the layer that was folded into each.

    Raises:
        InputInvalid: the files do not take these inputs, or have no float value in common.
        BundleError: a file cannot be opened or run.
    """
    right, examined = Graph(expected), Graph(actual)
    if not set(right.inputs) == set(examined.inputs) == feeds.keys():
        raise InputInvalid(
            f"the files take the inputs {sorted(right.inputs)} and {sorted(examined.inputs)}, and"
            f" {sorted(feeds)} are given; all three must be the same."
        )
    coarse = precisions(examined)
    wide, notes = trusted(expected, feeds)
    single, running = InnerValues(expected, unoptimized), InnerValues(actual, unoptimized)
    common = set(running.takable(examined.floats, examined.types))
    common &= set(single.takable(right.floats, right.types))
    ordered = [name for name in examined.floats if name in common]
    if not ordered:
        raise InputInvalid(
            "the files have no float value of the same name in common, not even an output."
        )
    rounded = Float64Model(actual, rounded=True) if _16_BITS & set(coarse.values()) else None

    def run(part: onnx.ModelProto, given: Feeds) -> Feeds:
        if rounded is not None:
            return Float64Model(part, rounded=True).run(given)
        return unoptimized(part).run(given)

    setup = Setup(
        names=names,
        sides=Sides(
            wide=lambda wanted: wide.run(feeds, wanted),
            single=lambda wanted: single.take(feeds, wanted),
            actual=lambda wanted: (
                running.take(feeds, wanted) if rounded is None else rounded.run(feeds, wanted)
            ),
        ),
        actual=examined,
        expected=right,
        feeds=feeds,
        run=run,
        folded=folded or {},
        notes=notes if rounded is None else (*notes, _ROUNDED),
    )
    points = {
        name: Point(name, layer_of(examined, name), examined.operator(name), coarse.get(name))
        for name in ordered
    }
    parts = chunks(ordered, single.elements(feeds, ordered))
    return examine(setup, ([points[name] for name in part] for part in parts))


def layer_of(graph: Graph, value: str) -> str:
    """The name of the node that gives a value, or the value's own."""
    operator = graph.operator(value)
    return value if operator is None else operator.name
