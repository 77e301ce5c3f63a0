"""A traced program as an ONNX graph whose names a person can read. Not for: optimizing the graph.

What torch leaves in the graph and nobody outside needs (stack traces with paths of this machine,
dumps of its own structures) is taken out; the scopes stay, for they tell which module a node is of.
"""

import ast
import contextlib
import functools
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from onnx_ir.passes.common import InlinePass
from torch.export import ExportedProgram
from torch.onnx._internal.exporter import _core, _registration

from exporters.calls import Call, Flat
from exporters.dimensions import Dimensions
from exporters.errors import ConversionFailed, first_line
from exporters.program import quiet, strip_scope
from exporters.recurrent import TRANSLATIONS

__all__ = ["Emitted", "NodeOrigin", "emit", "restore_outputs", "scopes_of"]

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_KEPT = (_SCOPES, _CLASSES)
_SYMBOL = re.compile(r"\b[su]\d+\b")


@dataclass(frozen=True, slots=True)
class NodeOrigin:
    """What a node was before the optimization.

    Attributes:
        op: its operator.
        scopes: the qualified names of the modules that it is of, outermost first.
    """

    op: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """An output that is another output, or an input, under another name.

    ONNX wants a value of its own for each output, and optimizers take such copies out.

    Attributes:
        place: among the outputs.
        name: of the output.
        source: the name of the output or input that it equals.
    """

    place: int
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Emitted:
    """An ONNX graph as the converter gave it, with our names, not optimized.

    Attributes:
        model: the graph, without the outputs that are aliases.
        aliases: for `restore_outputs`, once the graph is optimized.
        origins: of each node, by its name.
        leaving: for each module, the value that other modules' nodes take from its nodes; modules
            of which they take none or several are left out.
        decomposed: the program that it mirrors, without in-place operators.
    """

    model: ir.Model
    aliases: tuple[Alias, ...]
    origins: Mapping[str, NodeOrigin]
    leaving: Mapping[str, str]
    decomposed: ExportedProgram


def emit(
    program: ExportedProgram,
    *,
    call: Call,
    outputs: Sequence[str],
    dimensions: Dimensions,
    opset: int,
) -> Emitted:
    """Turn a program into an ONNX graph.

    Args:
        program: traced from a `Flat`; stays as it is.
        call: names the inputs.
        outputs: names for the outputs.
        dimensions: names the dynamic axes of the inputs.
        opset: of the ONNX standard.

    Raises:
        ConversionFailed: the converter has no translation for an operator, or gave up.
    """
    said = io.StringIO()  # the converter prints
    try:
        with quiet(), contextlib.redirect_stdout(said):
            converted = _core.export(
                program,
                registry=_registry(opset),
                optimize=False,
                verbose=False,
                opset_version=opset,
            )
    except torch.onnx.OnnxExporterError as err:
        raise ConversionFailed(f"torch.onnx cannot convert the model: {_reason(err)}") from err
    model, decomposed = converted.model, converted.exported_program
    assert decomposed is not None  # noqa: S101 - None is for models that never were a program
    if model.functions:
        InlinePass()(model)
    aliases = _name_inputs_and_outputs(model.graph, call.names, outputs)
    _name_dimensions(model.graph, dimensions)
    _clean(model.graph)
    _name_nodes(model.graph)
    origins = {
        str(node.name): NodeOrigin(node.op_type, scopes_of(node)) for node in _nodes(model.graph)
    }
    return Emitted(
        model=model,
        aliases=aliases,
        origins=origins,
        leaving=_leaving_values(model.graph),
        decomposed=decomposed,
    )


@functools.cache
def _registry(opset: int) -> _registration.ONNXRegistry:
    """Torch's translations of its operators and ours, for an opset.

    ``torch.onnx.export`` is `_core.export` with a registry that it builds anew, from the source of
    five hundred functions, at every call: half of the time that a small model takes.
    """
    registry = _registration.ONNXRegistry.from_torchlib(opset_version=opset)
    for operator, translation in TRANSLATIONS.items():
        registry.register_op(operator, translation, is_complex=False)
    return registry


def scopes_of(node: ir.Node) -> tuple[str, ...]:
    """The qualified names of the modules that a node is of, outermost first."""
    text = node.metadata_props.get(_SCOPES)
    return tuple(ast.literal_eval(text)[:-1]) if text else ()


def _leaving_values(graph: ir.Graph) -> dict[str, str]:
    outputs = set(graph.outputs)
    leaving: dict[str, list[str]] = {}
    for node in graph:
        for value in node.outputs:
            if value.dtype is None or not value.dtype.is_floating_point():
                continue  # sizes that a module computes are not what it gives
            users = [scopes_of(user) for user in value.consumers()]
            for scope in set(scopes_of(node)):
                if value in outputs or any(scope not in scopes for scopes in users):
                    leaving.setdefault(scope, []).append(str(value.name))
    return {scope: names[0] for scope, names in leaving.items() if len(names) == 1}


def _reason(error: BaseException) -> str:
    """What the innermost error says: the outer ones say only that there was one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


def restore_outputs(graph: ir.Graph, aliases: Sequence[Alias]) -> None:
    """Put the outputs back that `emit` set aside: each a copy of the value that it is, in place."""
    ends = {str(value.name): value for value in (*graph.inputs, *graph.outputs)}
    for alias in aliases:
        source = ends[alias.source]
        copied = ir.node("Identity", [source], name=f"{alias.name}/Identity")
        output = copied.outputs[0]
        output.name, output.type, output.shape = alias.name, source.type, source.shape
        graph.append(copied)
        graph.outputs.insert(alias.place, output)


def _name_inputs_and_outputs(
    graph: ir.Graph, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[Alias, ...]:
    """Give the graph's ends their names; whatever else has one of these gets another."""
    named = dict(zip(graph.inputs, inputs, strict=True))
    aliases = []
    for place, (value, name) in enumerate(zip(graph.outputs, outputs, strict=True)):
        if value in named:
            aliases.append(Alias(place, name, source=named[value]))
        elif value.producer() is None:
            copied = ir.node("Identity", [value])
            copied.outputs[0].type, copied.outputs[0].shape = value.type, value.shape
            graph.append(copied)
            graph.outputs[place] = copied.outputs[0]
            named[copied.outputs[0]] = name
        else:
            named[value] = name
    for alias in reversed(aliases):
        del graph.outputs[alias.place]
    taken = {*named.values(), *(str(value.name) for value in _values(graph))}
    for value in list(_values(graph)):
        if value not in named and value.name in named.values():
            _rename(graph, value, _fresh(str(value.name), taken))
    for value, name in named.items():
        value.name = name
    prefix = f"{Flat.MODEL}."
    for value in list(graph.initializers.values()):
        plain = str(value.name).removeprefix(prefix)
        if plain != value.name:
            _rename(graph, value, plain if plain not in taken else _fresh(plain, taken))
            taken.add(str(value.name))
    return tuple(aliases)


def _rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    is_initializer = value.is_initializer()
    if is_initializer:
        del graph.initializers[str(value.name)]
    value.name = name
    if is_initializer:
        graph.initializers[name] = value


def _fresh(base: str, taken: set[str]) -> str:
    number = 1
    while f"{base}_{number}" in taken:
        number += 1
    taken.add(f"{base}_{number}")
    return f"{base}_{number}"


def _name_dimensions(graph: ir.Graph, dimensions: Dimensions) -> None:
    symbols: dict[str, str] = {}
    for value, axes in zip(graph.inputs, dimensions.axes, strict=True):
        for axis, name in axes.items():
            symbol = value.shape[axis] if value.shape is not None else None
            if isinstance(symbol, ir.SymbolicDim) and symbol.value is not None:
                symbols.setdefault(str(symbol.value), name)
    for value in _values(graph):
        if value.shape is not None:
            value.shape = ir.Shape([_named(size, symbols) for size in value.shape])
    for value, axes in zip(graph.inputs, dimensions.axes, strict=True):
        if value.shape is not None:
            value.shape = ir.Shape([axes.get(axis, size) for axis, size in enumerate(value.shape)])


def _named(size: int | ir.SymbolicDim, symbols: Mapping[str, str]) -> int | str | None:
    if isinstance(size, int):
        return size
    if size.value is None:
        return None
    return _SYMBOL.sub(lambda match: symbols.get(match[0], match[0]), str(size.value))


def _clean(graph: ir.Graph) -> None:
    graph.metadata_props.clear()
    for value in _values(graph):
        value.metadata_props.clear()
    for node in _nodes(graph):
        kept = {key: node.metadata_props[key] for key in _KEPT if key in node.metadata_props}
        node.metadata_props.clear()
        for key, text in kept.items():
            # the first entry is the wrapper's, the last of the classes the torch operator's
            inner = ast.literal_eval(text)[1:]
            if key == _SCOPES:
                inner = [strip_scope(scope) for scope in inner[:-1]] + inner[-1:]
            node.metadata_props[key] = repr(inner)


def _name_nodes(graph: ir.Graph) -> None:
    """``layer1.0.conv1/Conv``: the module and the operator, numbered where there are several."""
    taken: set[str] = set()
    for node in _nodes(graph):
        scope = (scopes_of(node) or ("",))[-1]
        base = f"{scope}/{node.op_type}" if scope else node.op_type
        name = base if base not in taken else _fresh(base, taken)
        taken.add(name)
        node.name = name


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in _nodes(graph):
        yield from node.outputs


def _nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """Every node, those of subgraphs included."""
    return iter(ir.traversal.RecursiveGraphIterator(graph))
