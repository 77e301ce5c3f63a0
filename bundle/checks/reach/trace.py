"""A graph run twice, with a smaller and a larger batch: every shape, and the integers on the way.

What an operator like Reshape or Gather moves where is computed by the graph itself, from shapes and
indices. Instead of reasoning about that, it is looked up in a real run without optimizations. The
shapes of the two runs tell which axes grow with the batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from bundle.opener import OpenModel, open_model
from bundle.tensors import Datatype

__all__ = ["INTEGERS", "Trace", "TracedGraph", "free_names"]

INTEGERS = frozenset(
    Datatype(name).onnx
    for name in ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
)
"""ONNX's codes of the types whose values are kept: indices, shapes, conditions."""
_NO_TENSORS = frozenset({
    "Optional", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
    "SequenceMap", "SplitToSequence", "ZipMap",
})  # fmt: skip
_LARGE_WEIGHT = 4096


@dataclass(frozen=True, slots=True)
class Trace:
    """What two runs of one graph showed.

    Attributes:
        shapes: of every tensor, with the larger batch.
        sized: the axes of every tensor that are longer with the larger batch.
        large: integer and boolean tensors, and those that were asked for, with the larger batch.
        small: the same with the smaller batch; empty where it was not run.
    """

    shapes: Mapping[str, tuple[int, ...]]
    sized: Mapping[str, frozenset[int]]
    large: Mapping[str, np.ndarray]
    small: Mapping[str, np.ndarray]


class TracedGraph:
    """A graph that tells what it computes on the way.

    Args:
        model: holds the graph; it is not changed.
        keep_outputs: also keep the values of the graph's outputs.

    Raises:
        ModelInvalid: ONNX Runtime refuses the graph.
    """

    def __init__(self, model: onnx.ModelProto, *, keep_outputs: bool = False) -> None:
        wanted = _needed_by_bodies(model.graph)
        if keep_outputs:
            wanted |= {output.name for output in model.graph.output}
        names = _tensors(model)
        taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        suffix = "::shape"
        while any(name + suffix in taken for name in names):
            suffix += ":"
        self._shapes = {name: name + suffix for name in names}
        self._values = tuple(
            name for name, element in names.items() if element in INTEGERS or name in wanted
        )
        instrumented = _instrument(model, self._shapes, self._values)
        self._opened: OpenModel = open_model(instrumented, optimize=False)

    def run(
        self, feeds: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, np.ndarray]]:
        """The shape of every tensor, and the values that are kept.

        Raises:
            InputInvalid: the graph cannot compute this.
            RunFailed: it failed for another reason.
        """
        results = self._opened.run(feeds, [*self._shapes.values(), *self._values])
        shapes = {
            name: tuple(int(n) for n in results[output]) for name, output in self._shapes.items()
        }
        values = {name: results[name] for name in self._values}
        return (
            shapes | {name: array.shape for name, array in feeds.items()},
            values | dict(feeds),
        )

    def trace(
        self, large: Mapping[str, np.ndarray], small: Mapping[str, np.ndarray] | None
    ) -> Trace:
        """Run with both batches and compare the shapes.

        Raises:
            InputInvalid: the graph cannot compute this.
            RunFailed: it failed for another reason.
        """
        shapes, values = self.run(large)
        if small is None:
            return Trace(shapes=shapes, sized={}, large=values, small={})
        fewer, small_values = self.run(small)
        sized = {
            name: frozenset(axis for axis, n in enumerate(shape) if n != fewer[name][axis])
            for name, shape in shapes.items()
            if len(shape) == len(fewer[name])
        }
        return Trace(shapes=shapes, sized=sized, large=values, small=small_values)


def free_names(graph: onnx.GraphProto) -> frozenset[str]:
    """The names that a body takes from the graphs around it."""
    defined = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    free: set[str] = set()
    for node in graph.node:
        used = set(node.input)
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                used |= free_names(body)
        free |= used - defined
        defined |= set(node.output)
    free |= {value.name for value in graph.output} - defined
    return frozenset(free - {""})


def _tensors(model: onnx.ModelProto) -> dict[str, int]:
    """The tensors that nodes give, with their element types; 0 where that is not known."""
    types = _element_types(model)
    inputs = {value.name for value in model.graph.input}
    return {
        name: element
        for node in model.graph.node
        if node.op_type not in _NO_TENSORS
        for name in node.output
        if name and name not in inputs and (element := types[name]) is not None
    }


def _instrument(
    model: onnx.ModelProto, shapes: Mapping[str, str], values: Iterable[str]
) -> onnx.ModelProto:
    """The model with other outputs: the shapes of tensors, tensor → output, and some tensors."""
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(model)
    graph = instrumented.graph
    del graph.output[:]
    graph.node.extend(helper.make_node("Shape", [name], [out]) for name, out in shapes.items())
    # without a type: ONNX Runtime infers it
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in (*shapes.values(), *values))
    return instrumented


def _needed_by_bodies(graph: onnx.GraphProto) -> frozenset[str]:
    """The tensors whose values are needed to run the bodies of a graph's nodes by themselves."""
    needed: set[str] = set()
    for node in graph.node:
        bodies = [b for a in node.attribute for b in (a.g, *a.graphs) if b.output]
        for body in bodies:
            needed |= free_names(body)
        if bodies:
            needed |= set(node.input)
    return frozenset(needed)


def _element_types(model: onnx.ModelProto) -> dict[str, int | None]:
    """The element type of each value; 0 where it is not known, None where it is no tensor."""
    skeleton = onnx.ModelProto()
    skeleton.ir_version = model.ir_version
    skeleton.opset_import.extend(model.opset_import)
    graph = skeleton.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    known = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) <= _LARGE_WEIGHT:
            graph.initializer.append(tensor)
        elif tensor.name not in known:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton).graph
    except onnx.shape_inference.InferenceError:
        inferred = graph  # a type that contradicts another: ONNX Runtime will judge
    types: dict[str, int | None] = {
        name: 0 for node in model.graph.node for name in node.output if name
    }
    for value in (*model.graph.value_info, *inferred.value_info, *inferred.output):
        kind = value.type.WhichOneof("value")
        if kind == "tensor_type":
            types[value.name] = value.type.tensor_type.elem_type
        elif kind is not None:
            types[value.name] = None
    return types
