"""``examine``: everything of an export but writing it. Not for: doing the steps, or judging.

The user's model is never touched: all work is done on copies.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata

import onnx
from pydantic import TypeAdapter, ValidationError
from torch import nn

from bundle import BundleError, Finding, Manifest, Provenance, Sample, open_model
from bundle import checks as file_checks
from bundle.certificate import BatchCertificate
from bundle.checks.library.batch_invariance import NAME as BATCH_INVARIANCE
from bundle.lowering import GROUP_NORM, has_node
from bundle.manifest import ModelName
from bundle.precision import Precision
from bundle.precision.loss import NAME as PRECISION_LOSS
from bundle.precision.parity import NAME as PRECISION_PARITY
from bundle.runtime import onnxruntime
from exporters.calls import Example
from exporters.checks import TORCH_CHECKS, TorchSubject
from exporters.convert import DEFAULT_OPSET, Subject
from exporters.dimensions import DynamicShapes
from exporters.errors import InputsInvalid
from exporters.narrow import narrow
from exporters.prepare import quiet_state
from exporters.samples import golden_samples, sample_tolerances
from exporters.statistics import NamedMetric, TrainEvalGap, measure_gap
from exporters.statistics import recalibrate as recalibrated
from exporters.study import Progress, study

__all__ = ["Examination", "Progress", "examine"]

_PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "numpy")


@dataclass(frozen=True, slots=True)
class Examination:
    """A model as it would be written, and everything that was found out about it.

    Attributes:
        model: the file, with its weights inside; in another precision where that was asked for.
        manifest: with the findings of every check and the batch certificate; without files.
        samples: golden ones.
        subject: what the checks of the torch model looked at; its file is in float32.
    """

    model: onnx.ModelProto
    manifest: Manifest
    samples: tuple[Sample, ...]
    subject: TorchSubject

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What failed and was not allowed to."""
        return tuple(
            finding
            for finding in self.manifest.findings
            if finding.status == "fail" and finding.check not in self.manifest.allowed
        )


def examine(
    model: nn.Module,
    example_inputs: Example,
    *,
    name: str = "model",
    version: int = 1,
    dynamic_shapes: DynamicShapes | None = None,
    reference_inputs: Sequence[Example] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int = DEFAULT_OPSET,
    allow: Collection[str] = (),
    metric: NamedMetric | None = None,
    recalibrate: bool = False,
    lower_group_norm: bool = False,
    precision: Precision | None = None,
    max_loss: float | None = None,
    source: str | None = None,
    checkpoint_sha256: str | None = None,
    progress: Progress | None = None,
) -> Examination:
    """Convert a model in eval mode and run every check on it, without writing anything.

    Args:
        model: stays exactly as it is; all work is done on copies.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of arguments by name;
            nested containers and constants (None, bool, int, str) are fine. Any batch size.
        name: of the model in a repository.
        version: of the model, 1 or more.
        dynamic_shapes: ``{"pixels": {0: "batch", 2: "height"}}``, names or ``torch.export.Dim``, by
            input or as a tuple in their order. Without it axis 0 of every input is ``batch``.
        reference_inputs: more calls like the example, best real ones: they are compared too, become
            the golden samples, and the norm layers' input statistics are taken over them.
        input_names: instead of the arguments' names.
        output_names: instead of names derived from what the model returns.
        opset: 18 to 23.
        allow: names of checks that may fail. With ``batch-invariance`` layers that use statistics
            of the batch at inference are exported, and the manifest names them.
        metric: judges the model, to see what the gap between its modes does to it.
        recalibrate: re-estimate batch norm statistics from the reference inputs and export that
            copy; a finding has the gap between the modes before and after.
        lower_group_norm: write GroupNormalization as primitives, for other servers.
        precision: of the file: fp16 for GPUs, int8 for CPUs; as the model has it if left out.
        max_loss: what a narrower precision may lose, as part of each output's largest value.
        source: what is exported, for the record; the model's class if left out.
        checkpoint_sha256: of the file that the weights came from.
        progress: told of each stage.

    Raises:
        ExportError: no file can be made, or it would silently compute something else: see
            `exporters.errors`. A check that fails is a finding, not an error.
    """
    say = progress or _say_nothing
    _require_names(name, version, allow)
    before: TrainEvalGap | None = None
    if recalibrate:
        if not reference_inputs:
            raise InputsInvalid("recalibration takes reference_inputs: some hundred real rows.")
        say("recalibrate")
        before = measure_gap(model, reference_inputs)
        model = recalibrated(model, reference_inputs)
    with quiet_state():
        subject = study(
            model,
            example_inputs,
            name=name,
            dynamic_shapes=dynamic_shapes,
            reference_inputs=reference_inputs,
            input_names=input_names,
            output_names=output_names,
            opset=opset,
            batch_allowed=BATCH_INVARIANCE in allow,
            lower_group_norm=lower_group_norm,
            say=say,
        )
        subject = replace(subject, metric=metric, gap_before=before)
        of_torch = TORCH_CHECKS.run(subject, progress=_checking(say))
        source_model = subject.source
        samples = golden_samples(
            source_model.eager, source_model.call, source_model.example, subject.references
        )
    narrowed = None
    if precision is not None:
        say(f"convert to {precision}")
        narrowed = narrow(subject, precision, max_loss)
    elif max_loss is not None:
        raise InputsInvalid("max_loss belongs to a precision: fp16 or int8.")
    file = subject.file if narrowed is None else narrowed.file
    is_lowered = has_node(subject.file, (GROUP_NORM,)) and not has_node(file, (GROUP_NORM,))
    opened = open_model(file)
    manifest = Manifest(
        name=name,
        version=version,
        inputs=opened.inputs,
        outputs=opened.outputs,
        dimensions={d.name: d.range for d in source_model.dimensions.by_name.values()},
        files={},
        provenance=_provenance(source_model, opset=opset, source=source, digest=checkpoint_sha256),
        norms=subject.norms,
        findings=(),
        tolerances=sample_tolerances(subject.proof) if narrowed is None else narrowed.tolerances,
        batch_dependent=subject.converted.batch_dependent,
        allowed=tuple(sorted(allow)),
        group_norm="lowered" if lower_group_norm or is_lowered else "standard",
        conversion=None if narrowed is None else narrowed.conversion,
    )
    certificate, of_file = _check_file(file, manifest, samples, say)
    findings = of_torch + of_file + (() if narrowed is None else narrowed.findings)
    return Examination(
        model=file,
        manifest=manifest.model_copy(update={"findings": findings, "certificate": certificate}),
        samples=samples,
        subject=subject,
    )


def _say_nothing(stage: str, /) -> None:
    """No progress is wanted."""


def _checking(say: Progress) -> file_checks.Progress:
    def progress(done: int, total: int, check: str) -> None:
        if done < total:
            say(f"check {check}")

    return progress


def _check_file(
    model: onnx.ModelProto, manifest: Manifest, samples: Sequence[Sample], say: Progress
) -> tuple[BatchCertificate | None, tuple[Finding, ...]]:
    subject = file_checks.Subject(
        model=model, manifest=manifest, inputs=tuple(sample.inputs for sample in samples)
    )
    say(f"check {BATCH_INVARIANCE}")
    try:
        certificate = file_checks.certify(subject)
    except BundleError:
        certificate = None  # the check of that name meets the same error, and makes a finding of it
    subject = replace(subject, certificate=certificate)
    return certificate, file_checks.run_checks(subject, progress=_checking(say))


def _require_names(name: str, version: int, allow: Collection[str]) -> None:
    try:
        TypeAdapter(ModelName).validate_python(name)
    except ValidationError as err:
        raise InputsInvalid(
            f"'{name}' cannot be a model's name: letters, digits, '.', '_' and '-' only, the first"
            " a letter or digit, at most 128."
        ) from err
    if version < 1:
        raise InputsInvalid(f"version {version} is less than 1.")
    known = sorted({*TORCH_CHECKS.checks, *file_checks.checks(), PRECISION_LOSS, PRECISION_PARITY})
    unknown = sorted(set(allow).difference(known))
    if unknown:
        raise InputsInvalid(
            f"there is no check '{unknown[0]}' that could be allowed to fail; there are"
            f" {', '.join(known)}."
        )


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
