"""``export``: from a module to a bundle, every step of it. Not for: doing the steps.

Nothing is written before everything is proved, and the user's model is never touched.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError
from torch import nn

from bundle import (
    Bundle,
    BundleExists,
    Manifest,
    Provenance,
    open_model,
    write_bundle,
)
from bundle.manifest import ModelName
from bundle.runtime import onnxruntime
from exporters.batch import NOISE, layers_over_batch, movement_by_neighbours
from exporters.calls import Example, Flat
from exporters.census import take_census
from exporters.convert import (
    DEFAULT_OPSET,
    Converted,
    Subject,
    convert_subject,
    inspect,
    require_opset,
)
from exporters.dimensions import DynamicShapes
from exporters.errors import BatchStatistics, InputsInvalid
from exporters.findings import findings_of
from exporters.finish import finish
from exporters.layer_errors import measure_layers
from exporters.observe import observe_inputs
from exporters.prepare import copy_in_eval, quiet_state
from exporters.probes import probes
from exporters.report import render_report
from exporters.samples import golden_samples, sample_tolerances
from exporters.sizes import sizes_to_verify
from exporters.verify import verify

__all__ = ["Progress", "export"]

_PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "numpy")


class Progress(Protocol):
    """Told of each stage before it begins."""

    def __call__(self, stage: str, /) -> None:
        """Take note of a stage, in a few words."""


def export(
    model: nn.Module,
    example_inputs: Example,
    *,
    name: str,
    repository: Path,
    version: int = 1,
    dynamic_shapes: DynamicShapes | None = None,
    reference_inputs: Sequence[Example] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int = DEFAULT_OPSET,
    allow_batch_statistics: bool = False,
    lower_group_norm: bool = False,
    source: str | None = None,
    checkpoint_sha256: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a model in eval mode, prove that the file computes the same, and write a bundle.

    Args:
        model: stays exactly as it is; all work is done on copies.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of arguments by name;
            nested containers and constants (None, bool, int, str) are fine. Any batch size.
        name: of the model in the repository.
        repository: the folder of all models.
        version: of the model, 1 or more.
        dynamic_shapes: ``{"pixels": {0: "batch", 2: "height"}}``, names or ``torch.export.Dim``, by
            input or as a tuple in their order. Without it axis 0 of every input is ``batch``.
        reference_inputs: more calls like the example, best real ones: they are compared too, become
            the golden samples, and the norm layers' input statistics are taken over them.
        input_names: instead of the arguments' names.
        output_names: instead of names derived from what the model returns.
        opset: 18 to 23.
        allow_batch_statistics: export layers that use statistics of the batch at inference; the
            bundle then names them.
        lower_group_norm: write GroupNormalization as primitives, for other servers.
        source: what is exported, for the record; the model's class if left out.
        checkpoint_sha256: of the file that the weights came from.
        overwrite: replace the version if it exists.
        progress: told of each stage.

    Returns:
        The bundle as it lies in the repository.

    Raises:
        ExportError: see `exporters.errors`; the repository is then as it was.
        BundleExists: the version exists and is not to be overwritten.
    """
    say = progress or _say_nothing
    _require_free(repository, name, version, overwrite=overwrite)
    require_opset(opset)
    with quiet_state():
        say("inspect")
        subject = inspect(
            model,
            example_inputs,
            dynamic_shapes=dynamic_shapes,
            input_names=input_names,
            output_names=output_names,
        )
        references = [subject.call.tensors(inputs) for inputs in reference_inputs or ()]
        say("convert")
        converted = convert_subject(subject, opset=opset, batch_allowed=allow_batch_statistics)
        movement = (
            movement_by_neighbours(subject.wide, subject.example, subject.dimensions)
            if subject.wide is not None
            else None
        )
        converted = _with_hand_made_statistics(
            subject, converted, movement=movement or 0.0, allowed=allow_batch_statistics
        )
        proto = finish(converted, name=name, lower_group_norm=lower_group_norm)
        say("verify")
        sizes = sizes_to_verify(subject.dimensions, converted.traced, subject.accepts)
        proof = verify(
            proto,
            list(probes(subject.example, subject.dimensions, sizes, references)),
            call=subject.call,
            eager=subject.eager,
            wide=subject.wide,
        )
        say("measure")
        observed = observe_inputs(
            Flat(copy_in_eval(subject.model), subject.call), references or [subject.example]
        )
        errors = (
            measure_layers(
                proto,
                observed,
                leaving=converted.leaving,
                reference=subject.wide,
                call=subject.call,
                tensors=subject.example,
            )
            if subject.wide is not None
            else {}
        )
        samples = golden_samples(subject.eager, subject.call, subject.example, references)
    opened = open_model(proto)
    manifest = Manifest(
        name=name,
        version=version,
        inputs=opened.inputs,
        outputs=opened.outputs,
        dimensions={d.name: d.range for d in subject.dimensions.by_name.values()},
        files={},
        provenance=_provenance(subject, opset=opset, source=source, digest=checkpoint_sha256),
        norms=take_census(subject.model, converted, observed, errors),
        findings=findings_of(subject, converted, proof, movement=movement, sizes=sizes),
        tolerances=sample_tolerances(proof),
        batch_dependent=converted.batch_dependent,
        group_norm="lowered" if lower_group_norm else "standard",
    )
    say("write")
    return write_bundle(
        repository,
        model=proto,
        manifest=manifest,
        samples=samples,
        extra_files={"report.html": render_report(manifest, proof)},
        overwrite=overwrite,
    )


def _say_nothing(stage: str, /) -> None:
    """No progress is wanted."""


def _require_free(repository: Path, name: str, version: int, *, overwrite: bool) -> None:
    """Refuse before the work what writing would refuse after it."""
    try:
        TypeAdapter(ModelName).validate_python(name)
    except ValidationError as err:
        raise InputsInvalid(
            f"'{name}' cannot be a model's name: letters, digits, '.', '_' and '-' only, the first"
            " a letter or digit, at most 128."
        ) from err
    if version < 1:
        raise InputsInvalid(f"version {version} is less than 1.")
    target = repository / name / str(version)
    if target.exists() and not overwrite:
        raise BundleExists(
            f"'{target}' exists; export another version, or say that it is to be overwritten."
        )


def _with_hand_made_statistics(
    subject: Subject, converted: Converted, *, movement: float, allowed: bool
) -> Converted:
    """Refuse, or record, layers that compute statistics of the batch without a batch norm.

    Raises:
        BatchStatistics: rows move with their neighbours, a layer reduces over the batch, and that
            was not allowed.
    """
    if movement <= NOISE:
        return converted
    known = set(converted.batch_dependent)
    found = [
        layer
        for layer in layers_over_batch(converted.program, subject.dimensions)
        if layer not in known
    ]
    if not found:
        return converted
    if not allowed:
        said = ", ".join(f"'{layer}'" if layer else "the model itself" for layer in found)
        raise BatchStatistics(
            f"statistics of the batch at inference: {said} reduces over the batch axis, and a row's"
            f" answer moved by {movement:.2g} of its range when the other rows were exchanged."
            " Compute them over each row alone, keep running statistics for eval mode, or export"
            " with allow_batch_statistics=True, which the bundle then says.",
            layers=tuple(found),
        )
    return replace(converted, batch_dependent=(*converted.batch_dependent, *found))


def _provenance(
    subject: Subject, *, opset: int, source: str | None, digest: str | None
) -> Provenance:
    kind = type(subject.model)
    return Provenance(
        source=source or f"{kind.__module__}:{kind.__qualname__}",
        checkpoint_sha256=digest,
        opset=opset,
        versions={
            **{package: metadata.version(package) for package in _PACKAGES},
            "onnxruntime": onnxruntime.__version__,
        },
        created=datetime.now(UTC),
    )
