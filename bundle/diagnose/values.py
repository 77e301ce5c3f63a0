"""The inner values of a file on ONNX Runtime, a few at a time. Not for: comparing them.

To ask for a value is to make it an output. That keeps ONNX Runtime from fusing it away, so that an
optimized session that is asked for all values is hardly optimized.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import onnx

from bundle.errors import ModelInvalid
from bundle.opener import OpenModel

__all__ = ["InnerValues", "Opener", "chunks"]

Opener = Callable[[onnx.ModelProto], OpenModel]
"""A way of opening a model: its provider, threads, optimizations."""

_BUDGET = 256 * 2**20
"""Bytes of values that are held at once on each side, in float64."""
_DOUBLE = 8


class InnerValues:
    """A file whose values can be asked for by name."""

    def __init__(self, model: onnx.ModelProto, opener: Opener) -> None:
        self._model = model
        self._opener = opener

    def take(self, feeds: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
        """Some values of one run.

        Raises:
            InputInvalid: the model cannot compute these inputs.
            ModelInvalid: it cannot be opened with these values as outputs.
            RunFailed: it failed while it ran.
        """
        return self._with_outputs(names).run(feeds, list(names))

    def takable(self, names: Sequence[str], types: Mapping[str, int]) -> tuple[str, ...]:
        """Those of the names that can be outputs: of a known type, or accepted by ONNX Runtime."""
        try:
            self._with_outputs(names)
        except ModelInvalid:
            return tuple(name for name in names if types.get(name))
        return tuple(names)

    def elements(self, feeds: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, int]:
        """How many elements each of some values has, without holding them."""
        sized = _copy(self._model)
        outputs = {name: f"{name}/elements" for name in names}
        sized.graph.node.extend(
            onnx.helper.make_node("Size", [name], [size]) for name, size in outputs.items()
        )
        del sized.graph.output[:]
        sized.graph.output.extend(onnx.ValueInfoProto(name=size) for size in outputs.values())
        counted = self._opener(sized).run(feeds)
        return {name: int(counted[size]) for name, size in outputs.items()}

    def _with_outputs(self, names: Sequence[str]) -> OpenModel:
        open_ended = _copy(self._model)
        given = {value.name for value in open_ended.graph.output}
        open_ended.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in names if name not in given
        )
        return self._opener(open_ended)


def chunks(
    names: Sequence[str], elements: Mapping[str, int], *, budget: int = _BUDGET
) -> Iterator[tuple[str, ...]]:
    """The names in order, in parts whose values fit into memory together.

    Args:
        names: of values.
        elements: of each.
        budget: bytes; a value that exceeds it is alone in its part.
    """
    part: list[str] = []
    held = 0
    for name in names:
        size = elements[name] * _DOUBLE
        if part and held + size > budget:
            yield tuple(part)
            part, held = [], 0
        part.append(name)
        held += size
    if part:
        yield tuple(part)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
