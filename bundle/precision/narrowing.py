"""Rewrite a float32 graph so that it stores and computes in a 16-bit type. Not for: which nodes.

The operators' schemas say where a type may stand: a node is rewritten if each of its float32 inputs
and outputs that its schema lets vary may be of the type, so that a Resize keeps its float32 scales.
Inputs and outputs of the model stay float32. Casts stand where float32 and the type meet.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import inliner, numpy_helper

from bundle.errors import ModelInvalid
from bundle.precision.kinds import Precision
from bundle.precision.nodes import captured, element_types

__all__ = ["narrowed"]

_FLOAT = onnx.TensorProto.FLOAT
_WEIGHTS_ARE_NO_INPUTS = 4
"""The version of the file format from which on an initializer need not be an input too."""
_NEVER = frozenset({"Cast", "CastLike", "Constant", "ConstantOfShape", "DequantizeLinear"})
"""Their output's type is not their inputs'."""


def narrowed(
    model: onnx.ModelProto, precision: Precision, kept: Collection[str]
) -> onnx.ModelProto:
    """A copy of the model in a 16-bit type.

    Args:
        model: in float32, with its weights inside.
        precision: fp16 or bf16.
        kept: first outputs of the nodes that stay as they are.

    Raises:
        ModelInvalid: no node can be rewritten.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(inliner.inline_local_functions(model) if model.functions else model)
    graph = whole.graph
    rewriting = _Rewriting(whole, precision)
    for node in graph.node:
        rewriting.add(node, is_kept=next(filter(None, node.output), "") in kept)
    if not rewriting.rewritten:
        raise ModelInvalid(
            f"no node of the model can be in {precision}: its operators (opset"
            f" {rewriting.opset}) do not take it, or all of them stay in float32."
        )
    nodes, weights = rewriting.nodes, rewriting.weights
    read = {name for node in nodes for name in (*node.input, *captured(node))}
    read.update(value.name for value in graph.output)
    tensors = [*(t for t in graph.initializer if t.name in read), *weights]
    for value in graph.value_info:  # some operators' types cannot be inferred without them
        if rewriting.is_narrow(value.name):
            value.type.tensor_type.elem_type = precision.datatype.onnx
    inputs = [value for value in graph.input if value.name not in rewriting.constants]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    graph.input.extend(inputs)
    whole.ir_version = max(whole.ir_version, _WEIGHTS_ARE_NO_INPUTS)
    return whole


class _Rewriting:
    """The new nodes of a graph, and under which names each value is known in which type."""

    def __init__(self, model: onnx.ModelProto, precision: Precision) -> None:
        graph = model.graph
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rewritten = 0
        self._precision = precision
        self._element = precision.datatype.onnx
        self._type = f"tensor({precision.datatype.numpy})"
        self.opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self._types = element_types(model)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self._taken = {n for node in graph.node for n in (*node.input, *node.output)}
        self._taken |= {v.name for v in (*graph.input, *graph.output)} | self.constants.keys()
        outside = {value.name for value in graph.output}
        for node in graph.node:
            outside.update(captured(node))
        self._outside = outside  # must be there in float32 under its own name
        self._narrow: dict[str, str] = {}  # value → its name in the 16-bit type
        self._single: dict[str, str] = {}  # value that is made narrow → its name in float32

    def add(self, node: onnx.NodeProto, *, is_kept: bool) -> None:
        """The node after those that were added before, with the casts that it needs."""
        inputs, outputs = self._slots(node)
        if is_kept or not inputs or outputs is None:
            names = [self._in_float32(name) for name in node.input]
            self._append(node, names, list(node.output))
            return
        names = [
            self._in_16_bits(name) if place in inputs else self._in_float32(name)
            for place, name in enumerate(node.input)
        ]
        self.rewritten += 1
        results = list(node.output)
        for place in outputs:
            name = node.output[place]
            is_outside = name in self._outside
            results[place] = self._narrow[name] = (
                self._fresh(name, self._precision) if is_outside else name
            )
        self._append(node, names, results)
        for place in outputs:
            name = node.output[place]
            if name in self._outside:
                self._cast(results[place], name, _FLOAT)
                self._single[name] = name

    def is_narrow(self, name: str) -> bool:
        """Whether the value of this name is of the 16-bit type now."""
        return self._narrow.get(name) == name

    def _slots(self, node: onnx.NodeProto) -> tuple[set[int], set[int] | None]:
        """The float32 inputs and outputs that become 16-bit; None where an output cannot."""
        holds_no_tensor = "Sequence" in node.op_type or "Optional" in node.op_type
        if node.domain not in ("", "ai.onnx") or node.op_type in _NEVER or holds_no_tensor:
            return set(), None
        if captured(node):
            return set(), None
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opset, "")
        except onnx.defs.SchemaError:
            return set(), None
        allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
        may = {name for name, types in allowed.items() if self._type in types}
        inputs = {
            place
            for place, name in enumerate(node.input)
            if self._types.get(name) == _FLOAT and _formal(schema.inputs, place) in may
        }
        floats = {p for p, n in enumerate(node.output) if n and self._types.get(n, 0) == _FLOAT}
        tied = {_formal(schema.inputs, place) for place in inputs}
        can = all(_formal(schema.outputs, place) in tied for place in floats)
        return inputs, floats if can else None

    def _append(self, node: onnx.NodeProto, inputs: list[str], outputs: list[str]) -> None:
        new = onnx.NodeProto()
        new.CopyFrom(node)
        del new.input[:], new.output[:]
        new.input.extend(inputs)
        new.output.extend(outputs)
        self.nodes.append(new)

    def _in_float32(self, name: str) -> str:
        if name not in self._narrow or name in self.constants:
            return name
        if name not in self._single:
            self._single[name] = self._cast(self._narrow[name], self._fresh(name, "fp32"), _FLOAT)
        return self._single[name]

    def _in_16_bits(self, name: str) -> str:
        if name not in self._narrow:
            fresh = self._fresh(name, self._precision)
            if name in self.constants:
                array = numpy_helper.to_array(self.constants[name])
                with np.errstate(over="ignore"):
                    narrow = array.astype(self._precision.datatype.numpy)
                self.weights.append(numpy_helper.from_array(narrow, fresh))
            else:
                self._cast(name, fresh, self._element)
                self._single[name] = name
            self._narrow[name] = fresh
        return self._narrow[name]

    def _cast(self, source: str, target: str, element: int) -> str:
        self.nodes.append(
            onnx.helper.make_node("Cast", [source], [target], name=f"{target}/Cast", to=element)
        )
        return target

    def _fresh(self, base: str, suffix: str) -> str:
        name, count = f"{base}_{suffix}", 1
        while name in self._taken:
            count += 1
            name = f"{base}_{suffix}_{count}"
        self._taken.add(name)
        return name


def _formal(parameters: object, place: int) -> str:
    """The type that a schema gives the parameter at a place; the last may stand for several."""
    known = list(parameters)  # type: ignore[call-overload]  # onnx.defs ships no type for it
    return str(known[min(place, len(known) - 1)].type_str)
