"""Diagnose one file against itself: ways of running it that must not matter. Knows no torch.

Float32 against float64, ONNX Runtime's optimizations, the number of threads, the provider.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from bundle.diagnose.diagnosis import Cause, CauseKind, Verdict
from bundle.diagnose.examination import Examined, Setup, examine, trusted, unoptimized
from bundle.diagnose.files import layer_of
from bundle.diagnose.graph import Graph
from bundle.diagnose.trace import Point, Sides
from bundle.diagnose.values import InnerValues, Opener, chunks
from bundle.opener import OpenModel, open_model
from bundle.precision.float64 import Float64Model
from bundle.providers import CPU, CUDA, ProviderPolicy, resolve

__all__ = ["Way", "diagnose_ways", "ways_here"]

_THREADS = 4
_OPTIMIZATION = Cause(
    kind=CauseKind.OPTIMIZATION,
    meaning="the same nodes agree when ONNX Runtime's graph optimizations are off",
    remedy="switch its optimizers off one by one (disabled_optimizers) on the reproduction, and"
    " report the one to ONNX Runtime",
)
_MANY_THREADS = Cause(
    kind=CauseKind.THREADS,
    meaning="the same nodes agree when one thread runs them",
    remedy="serve with one thread, and report the operator to ONNX Runtime",
)


@dataclass(frozen=True, slots=True)
class Way:
    """A way of running a model.

    Attributes:
        name: in words.
        opener: opens a model so.
        cause: of a difference, where this is all that was changed.
        provider: that it runs on.
    """

    name: str
    opener: Opener
    cause: Cause | None = None
    provider: str = CPU


def ways_here() -> tuple[Way, ...]:
    """Every way that this machine has, the plainest first."""
    found = [
        Way("float32 on the CPU as the file is written", unoptimized),
        Way("ONNX Runtime's optimizations on", open_model, _OPTIMIZATION),
        Way(f"{_THREADS} threads", _on_threads, _MANY_THREADS),
    ]
    if any(provider == CUDA for provider, _ in resolve(ProviderPolicy.AUTO)):
        found.append(Way(CUDA, _on_cuda, provider=CUDA))
    return tuple(found)


def diagnose_ways(
    model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], ways: Sequence[Way]
) -> Iterator[Examined]:
    """Compare each way of running a model with float64.

    The first is looked at value by value. The outputs of the others are compared as they are
    served, and their inner values only where an output differs: to look at a value keeps it from
    being fused.

    Args:
        model: with its weights inside.
        feeds: its inputs.
        ways: of running it.

    Yields:
        One for each way.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    wide, notes = trusted(model, feeds)
    ideal = Float64Model(model, rounded=True)
    graph = Graph(model)
    for place, way in enumerate(ways):
        values = InnerValues(model, way.opener)

        def take(names: Sequence[str], values: InnerValues = values) -> dict[str, np.ndarray]:
            return values.take(feeds, names)

        def run(
            part: onnx.ModelProto, given: Mapping[str, np.ndarray], way: Way = way
        ) -> dict[str, np.ndarray]:
            return way.opener(part).run(given)

        setup = Setup(
            names=("float64", way.name),
            sides=Sides(
                wide=lambda names: wide.run(feeds, names),
                single=lambda names: ideal.run(feeds, names),
                actual=take,
            ),
            actual=graph,
            expected=None,
            feeds=feeds,
            run=run,
            cause=way.cause,
            provider=way.provider,
            notes=notes,
        )
        served = examine(setup, [_points(graph, graph.outputs)])
        if place and served.diagnosis.verdict is Verdict.AGREES:
            yield served
            continue
        names = values.takable(graph.floats, graph.types)
        parts = chunks(names, values.elements(feeds, names))
        inside = examine(setup, (_points(graph, part) for part in parts))
        hidden = served.diagnosis.first is not None and inside.diagnosis.first is None
        yield _bisected(setup, names) if hidden else inside


def _bisected(setup: Setup, names: Sequence[str]) -> Examined:
    """Look at one value at a time, where looking at all of them makes the difference vanish."""
    looked: set[str] = set()
    low, high = 0, len(names) - 1
    while low < high:
        middle = (low + high) // 2
        looked.add(names[middle])
        found = examine(setup, [_points(setup.actual, [names[middle]])])
        if found.diagnosis.first is None:
            low = middle + 1
        else:
            high = middle
    looked.update((names[high], *setup.actual.outputs))
    return examine(setup, (_points(setup.actual, [n]) for n in names if n in looked))


def _points(graph: Graph, names: Sequence[str]) -> list[Point]:
    return [Point(name, layer_of(graph, name), graph.operator(name)) for name in names]


def _on_threads(model: onnx.ModelProto) -> OpenModel:
    return open_model(model, threads=_THREADS)


def _on_cuda(model: onnx.ModelProto) -> OpenModel:
    return open_model(model, policy=ProviderPolicy("prefer:cuda"))
