"""Convert a model and measure the file against it: what checks of an export look at.

Not for: the checks themselves (`exporters.checks`), or what a bundle says of it (`examination`).
"""

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from exporters.batch import require_own_rows
from exporters.calls import Example, Flat
from exporters.census import take_census
from exporters.checks.subject import TorchSubject
from exporters.convert import DEFAULT_OPSET, convert_subject, inspect, require_opset
from exporters.dimensions import DynamicShapes
from exporters.finish import finish
from exporters.layer_errors import measure_layers
from exporters.observe import observe_inputs
from exporters.prepare import copy_in_eval
from exporters.probes import probes
from exporters.sizes import sizes_to_verify
from exporters.verify import require_repeatable, verify

__all__ = ["Progress", "study"]


_LAYER_PROBES = 2


class Progress(Protocol):
    """Told of each stage before it begins."""

    def __call__(self, stage: str, /) -> None:
        """Take note of a stage, in a few words."""


def study(
    model: nn.Module,
    example_inputs: Example,
    *,
    name: str = "model",
    dynamic_shapes: DynamicShapes | None = None,
    reference_inputs: Sequence[Example] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int = DEFAULT_OPSET,
    batch_allowed: bool = False,
    lower_group_norm: bool = False,
    say: Progress = lambda stage, /: None,
) -> TorchSubject:
    """Convert a model in eval mode and compare the file with it, layer by layer and as a whole.

    Args:
        model: stays exactly as it is.
        example_inputs: and the other arguments: as `exporters.examine` has them.
        name: of the graph.
        dynamic_shapes: see there.
        reference_inputs: see there.
        input_names: see there.
        output_names: see there.
        opset: see there.
        batch_allowed: let layers through that use statistics of the batch.
        lower_group_norm: see there.
        say: told of each stage.

    Raises:
        ExportError: no file can be made, or it would silently compute something else.
    """
    require_opset(opset)
    say("inspect")
    source = inspect(
        model,
        example_inputs,
        dynamic_shapes=dynamic_shapes,
        input_names=input_names,
        output_names=output_names,
    )
    references = tuple(source.call.tensors(inputs) for inputs in reference_inputs or ())
    say("convert")
    converted = convert_subject(source, opset=opset, batch_allowed=batch_allowed)
    converted = require_own_rows(source, converted, allowed=batch_allowed)
    file = finish(converted, name=name, lower_group_norm=lower_group_norm)
    say("verify")
    require_repeatable(source.eager, source.example)
    sizes = sizes_to_verify(source.dimensions, converted.traced, source.accepts)
    looked_at = list(probes(source.example, source.dimensions, sizes, references))
    proof = verify(
        file,
        looked_at,
        call=source.call,
        eager=source.eager,
        wide=source.wide,
    )
    say("measure")
    observed = observe_inputs(
        Flat(copy_in_eval(source.model), source.call), references or [source.example]
    )
    errors = (
        measure_layers(
            file,
            observed,
            leaving=converted.leaving,
            reference=source.wide,
            eager=source.eager,
            call=source.call,
            calls=[probe.tensors for probe in looked_at[:_LAYER_PROBES]],
        )
        if source.wide is not None
        else {}
    )
    return TorchSubject(
        source=source,
        references=references,
        converted=converted,
        file=file,
        proof=proof,
        norms=take_census(source.model, converted, observed, errors),
        sizes=tuple(sizes),
    )
