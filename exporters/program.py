"""The model as a traced program. Not for: judging it (`exporters.scan`) or turning it into ONNX.

Works on copies only. The program is torch.export's, undecomposed: each norm is still one call, with
the module that made it, which is what the scan and the census read.
"""

import contextlib
import logging
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export import _trace as torch_trace
from torch.export.graph_signature import InputKind
from torch.overrides import TorchFunctionMode

from exporters.calls import Call, Flat
from exporters.dimensions import Dimensions
from exporters.errors import ConversionFailed, DimensionInvalid, first_line
from exporters.lengths import symbolic_lengths
from exporters.recurrent import recurrent_operators

__all__ = [
    "argument",
    "capture",
    "data_nodes",
    "has_argument",
    "module_of",
    "operator_name",
    "quiet",
    "strip_scope",
]

_TORCH = Path(torch.__file__).parent
_HERE = Path(__file__).parent
_GET_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]  # a C-level property
_SPECIALIZED = re.compile(r"L\['tensors'\]\[(\d+)\]\.size\(\)\[(\d+)\].*constant \((\d+)\)")
_ALWAYS_ONE = re.compile(r"hint of 1 for dimension inputs\['tensors'\]\[(\d+)\]\.shape\[(\d+)\]")
_ANY_INPUT = re.compile(r"L\['tensors'\]\[(\d+)\](?:\.size\(\)\[(\d+)\])?")


def capture(
    flat: Flat, call: Call, tensors: Sequence[torch.Tensor], dimensions: Dimensions
) -> ExportedProgram:
    """Trace a module.

    Args:
        flat: the prepared copy.
        call: names its inputs.
        tensors: the example at the sizes to trace.
        dimensions: which axes are dynamic.

    Raises:
        DimensionInvalid: the model takes a dynamic dimension for a constant.
        ConversionFailed: torch.export gave up.
    """
    try:
        return _trace(flat, call, tensors, dimensions)
    except DimensionInvalid:
        with contextlib.suppress(DimensionInvalid, ConversionFailed), symbolic_lengths():
            return _trace(flat, call, tensors, dimensions)
        raise  # the first reason is the model's own; the second attempt was ours


def _trace(
    flat: Flat, call: Call, tensors: Sequence[torch.Tensor], dimensions: Dimensions
) -> ExportedProgram:
    try:
        with quiet(), recurrent_operators(), _DataDetached():
            return torch.export.export(
                flat,
                tuple(tensors),
                dynamic_shapes={"tensors": dimensions.hints()},
                strict=False,
            )
    except torch._dynamo.exc.UserError as err:  # noqa: SLF001 - what torch.export raises
        raise _dimension_error(str(err), call, dimensions) or _capture_error(err) from err
    except ValueError as err:
        raise _only_one(str(err), call, dimensions) or _capture_error(err) from err
    # Tracing runs the user's forward: it may raise anything, and that is the answer.
    except Exception as err:
        raise _capture_error(err) from err


class _DataDetached(TorchFunctionMode):
    """Reads ``x.data`` as ``x.detach()``, which is the same to a reader and can be traced."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func == _GET_DATA:
            return args[0].detach()
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what torch's tracer and converter log, warn of and print: none of it is for our user.

    Their loggers have levels and handlers of their own, so that all logging is held meanwhile.
    """
    held = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    # it prints the graph of what it could not trace; the module has no such name of its own
    printing = vars(torch_trace)
    before = printing.get("print", print)
    printing["print"] = lambda *_, **__: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        printing["print"] = before
        logging.disable(held)


def module_of(node: fx.Node) -> str:
    """The qualified name of the module that made a call, as the user's model has it."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str(list(stack.values())[-1][0]) if stack else ""
    return strip_scope(path)


def argument(node: fx.Node, name: str) -> Any:
    """An argument of a call to a torch operator, by its name in the operator's schema.

    Raises:
        KeyError: the operator has no argument of that name.
    """
    schema = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001 - there is no other way
    for position, parameter in enumerate(schema.arguments):
        if parameter.name == name:
            if position < len(node.args):
                return node.args[position]
            return node.kwargs.get(name, parameter.default_value)
    raise KeyError(name)


def has_argument(node: fx.Node, name: str) -> bool:
    """Whether a call is to a torch operator with an argument of that name."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(p.name == name for p in schema.arguments)


def operator_name(node: fx.Node) -> str:
    """The name of the torch operator that is called (``batch_norm``), "" where it is none."""
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else str(schema.name).rpartition("::")[2]


def data_nodes(program: ExportedProgram) -> set[fx.Node]:
    """The nodes whose values depend on the user's inputs, not only on their shapes."""
    inputs = {
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT
    }
    data: set[fx.Node] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            is_data = node.name in inputs
        else:
            is_data = any(source in data for source in node.all_input_nodes)
            is_data = is_data and not isinstance(node.meta.get("val"), torch.SymInt)
        if is_data:
            data.add(node)
    return data


def strip_scope(path: str) -> str:
    """A scope without the wrapper's prefix and without the mark of a repeated call (``@1``)."""
    inner = path.removeprefix(Flat.MODEL).removeprefix(".")
    return re.sub(r"@\d+", "", inner)


def _only_one(message: str, call: Call, dimensions: Dimensions) -> DimensionInvalid | None:
    """What is traced at size 1 does not run at any other, or it would not be traced at that."""
    places: dict[str, list[tuple[int, int]]] = {}
    for found in _ALWAYS_ONE.findall(message):
        position, axis = map(int, found)
        places.setdefault(dimensions.axes[position][axis], []).append((position, axis))
    if not places:
        return None
    said = "; ".join(
        f"'{name}' ("
        + ", ".join(f"axis {axis} of '{call.names[position]}'" for position, axis in at)
        + ")"
        for name, at in places.items()
    )
    return DimensionInvalid(
        f"the model runs at size 1, and at no other where all axes of a dimension change: {said}."
        " Say which inputs have it, dynamic_shapes={'x': {0: 'batch'}}; those that are left out"
        " keep their size."
    )


def _dimension_error(message: str, call: Call, dimensions: Dimensions) -> DimensionInvalid | None:
    baked = [
        (int(position), int(axis), size) for position, axis, size in _SPECIALIZED.findall(message)
    ]
    if baked:
        said = "; ".join(
            f"dimension '{dimensions.axes[position].get(axis, axis)}' (axis {axis} of"
            f" '{call.names[position]}') is always {size}"
            for position, axis, size in baked
        )
        return DimensionInvalid(
            f"declared dynamic, but in this model a constant: {said}. Leave it out of"
            " dynamic_shapes ({} declares none; without it axis 0 is dynamic), or change the code"
            " that makes a number of it: loops over it, branches on it, int()."
        )
    if "Constraints violated" not in message and "constraint" not in message:
        return None
    named = _ANY_INPUT.sub(lambda match: _readable(match, call), message)
    lines = [line.strip(" -") for line in named.splitlines() if line.strip().startswith("-")]
    return DimensionInvalid(
        f"the declared dynamic dimensions do not fit the model: {'; '.join(lines) or named}"
    )


def _readable(match: re.Match[str], call: Call) -> str:
    name, axis = call.names[int(match[1])], match[2]
    return f"'{name}'" if axis is None else f"axis {axis} of '{name}'"


def _capture_error(error: Exception) -> ConversionFailed:
    return ConversionFailed(
        f"torch.export cannot trace the model: {type(error).__name__}: {first_line(error)}"
        f"{_where(error)}"
    )


def _where(error: Exception) -> str:
    """The innermost line of the user's own code on the way to an error."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(_TORCH)
        and not Path(frame.filename).is_relative_to(_HERE)
    ]
    inner = [frame for frame in frames if frame.name != "export"]
    if not inner:
        return ""
    return f" (in {inner[-1].name}, line {inner[-1].lineno} of {Path(inner[-1].filename).name})"
