"""From a module to an optimized ONNX graph. Not for: proving what it computes, or writing files.

The steps are separate modules; this one puts them in order and keeps what each found out.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from bundle import Datatype, UnsupportedDatatype
from exporters.calls import Call, Example, Flat
from exporters.dimensions import Dimensions, DynamicShapes, declare
from exporters.eager import Eager, to_numpy
from exporters.emit import NodeOrigin, emit, restore_outputs
from exporters.equivalents import put_equivalents
from exporters.errors import ConversionFailed, InputsInvalid, OpsetUnsupported, OutputsInvalid
from exporters.graph import Rewrite, optimize
from exporters.layers import FunctionalNorm, functional_norms
from exporters.prepare import (
    MergedWeight,
    copy_in_eval,
    merge_weights,
    quiet_state,
    unwrap,
)
from exporters.program import capture
from exporters.scalars import as_constant_tensors, as_numbers, integer_buffers
from exporters.scan import require_sound, require_stateless
from exporters.sizes import resize, sizes_to_trace

__all__ = [
    "DEFAULT_OPSET",
    "OPSETS",
    "Converted",
    "Subject",
    "convert",
    "convert_subject",
    "inspect",
    "require_opset",
]

DEFAULT_OPSET = 23
OPSETS = range(18, 24)
"""Below 18 torch's converter is best effort; 24 and 25 lose the fusion of Llama-style RMS norms;
26 with RMSNormalization gives an invalid file."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be converted, and everything that is known of it before it is traced.

    Attributes:
        model: the user's, untouched.
        call: its inputs.
        example: one call's tensors.
        dimensions: which of their axes are dynamic.
        eager: a copy in eval mode, to compare with.
        wide: the same in float64, or None where it does not run so.
        stuck: the modules that stay in training mode after ``model.eval()``.
        left_out: what the model returns that is no tensor.
    """

    model: nn.Module
    call: Call
    example: tuple[torch.Tensor, ...]
    dimensions: Dimensions
    eager: Eager
    wide: Eager | None
    stuck: tuple[str, ...]
    left_out: tuple[str, ...]

    def accepts(self, sizes: Mapping[str, int]) -> bool:
        """Whether the model itself runs at these sizes of its dimensions."""
        return self.eager.accepts(resize(self.example, self.dimensions, sizes))


@dataclass(frozen=True, slots=True)
class Converted:
    """A model as an ONNX graph, and how it came about.

    Attributes:
        model: the graph, optimized.
        origins: of each node before the optimization, by its name.
        leaving: for each module, the value that others took from it before the optimization.
        rewrites: what the optimization did.
        merged: the weights that were computed once, before tracing.
        functional: the norms that modules call as functions.
        program: what the graph was emitted from, undecomposed.
        traced: the sizes of the dimensions at which it was traced.
        batch_dependent: the layers that use statistics of the batch, which was allowed.
        changing_buffers: the buffers that calls change, but that no output depends on.
    """

    model: ir.Model
    origins: Mapping[str, NodeOrigin]
    leaving: Mapping[str, str]
    rewrites: tuple[Rewrite, ...]
    merged: tuple[MergedWeight, ...]
    functional: tuple[FunctionalNorm, ...]
    program: ExportedProgram
    traced: Mapping[str, int]
    batch_dependent: tuple[str, ...]
    changing_buffers: tuple[str, ...]


def convert(
    module: nn.Module,
    example_inputs: Example,
    *,
    dynamic_shapes: DynamicShapes | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int = DEFAULT_OPSET,
) -> Converted:
    """Convert a module without proving what the file computes.

    Args:
        module: stays as it is.
        example_inputs: one call, as `exporters.calls.Example` describes it.
        dynamic_shapes: as `exporters.dimensions.declare` takes them.
        input_names: instead of the arguments' names.
        output_names: instead of derived names.
        opset: one of `OPSETS`.

    Raises:
        ExportError: any of its kinds but `VerificationFailed`.
    """
    with quiet_state():
        return convert_subject(
            inspect(
                module,
                example_inputs,
                dynamic_shapes=dynamic_shapes,
                input_names=input_names,
                output_names=output_names,
            ),
            opset=opset,
        )


def inspect(
    module: nn.Module,
    example_inputs: Example,
    *,
    dynamic_shapes: DynamicShapes | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Subject:
    """Learn a model's inputs, outputs and dimensions by running a copy once.

    Takes what `convert` takes.

    Raises:
        InputsInvalid: the example or the names do not fit the model.
        OutputsInvalid: it returns nothing that can be served.
        DimensionInvalid: the dynamic shapes are not well declared.
        ModelNotCopyable: it cannot be copied.
    """
    model = unwrap(module)
    call = Call.of(model, example_inputs, input_names)
    example = call.tensors(example_inputs)
    dimensions = declare(call, example, dynamic_shapes)
    twin = copy_in_eval(model)
    eager = Eager.of(Flat(twin, call), call, example, output_names)
    _require_served_types(call, example, eager)
    return Subject(
        model=model,
        call=call,
        example=example,
        dimensions=dimensions,
        eager=eager,
        wide=eager.in_float64(example),
        stuck=tuple(name for name, module in twin.named_modules() if module.training),
        left_out=eager.left_out(example),
    )


def convert_subject(
    subject: Subject, *, opset: int = DEFAULT_OPSET, batch_allowed: bool = False
) -> Converted:
    """Convert a model of which the inputs are known.

    Args:
        subject: the model.
        opset: one of `OPSETS`.
        batch_allowed: let layers through that use statistics of the batch.

    Raises:
        OpsetUnsupported: the opset is none of `OPSETS`.
        DimensionInvalid: a dynamic dimension is a constant in this model.
        ModelRefused: the file would silently compute something else.
        ConversionFailed: torch gave up.
    """
    require_opset(opset)
    call, dimensions = subject.call, subject.dimensions
    traced = sizes_to_trace(dimensions, subject.example, subject.accepts)
    model = copy_in_eval(subject.model)
    merged = merge_weights(model)
    tensors = resize(subject.example, dimensions, traced)
    program = _capture(Flat(model, call), call, tensors, dimensions)
    batch_dependent = require_sound(program, model, batch_allowed=batch_allowed)
    functional = functional_norms(program)
    put_equivalents(program)
    emitted = emit(
        program, call=call, outputs=subject.eager.names, dimensions=dimensions, opset=opset
    )
    changing_buffers = require_stateless(emitted.decomposed)
    rewrites = optimize(emitted.model)
    restore_outputs(emitted.model.graph, emitted.aliases)
    return Converted(
        model=emitted.model,
        rewrites=rewrites,
        changing_buffers=changing_buffers,
        origins=emitted.origins,
        leaving=emitted.leaving,
        merged=merged,
        functional=functional,
        program=program,
        traced=traced,
        batch_dependent=batch_dependent,
    )


def _capture(
    flat: Flat, call: Call, tensors: Sequence[torch.Tensor], dimensions: Dimensions
) -> ExportedProgram:
    """Trace; where the model branches on integers that it keeps as buffers, with them fixed."""
    try:
        return capture(flat, call, tensors, dimensions)
    except ConversionFailed as err:
        buffers = integer_buffers(flat.model)
        if not isinstance(err.__cause__, GuardOnDataDependentSymNode) or not buffers:
            raise
        for fixed in (as_numbers, as_constant_tensors):
            fixed(buffers)
            with contextlib.suppress(ConversionFailed):
                return capture(flat, call, tensors, dimensions)
        raise  # the first reason is the model's own; the attempts were ours


def require_opset(opset: int) -> None:
    """Refuse an opset for which no valid file can be made.

    Raises:
        OpsetUnsupported: with those that are supported.
    """
    if opset not in OPSETS:
        raise OpsetUnsupported(
            f"opset {opset} is not supported; choose one of {', '.join(map(str, OPSETS))}"
            f" (default {DEFAULT_OPSET}). Above 23 the converter's files are invalid or lose"
            " fusions of RMS norms, below 18 it is best effort."
        )


def _require_served_types(call: Call, example: Sequence[torch.Tensor], eager: Eager) -> None:
    for name, tensor in zip(call.names, example, strict=True):
        try:
            Datatype.from_numpy(to_numpy(tensor).dtype)
        except UnsupportedDatatype as err:
            raise InputsInvalid(f"input '{name}' is {tensor.dtype}: {err}") from err
    for name, array in eager.run(example).items():
        try:
            Datatype.from_numpy(array.dtype)
        except UnsupportedDatatype as err:
            raise OutputsInvalid(f"output '{name}' is {array.dtype}: {err}") from err
