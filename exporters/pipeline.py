"""``export``: from a module to a bundle. Not for: finding out what it is worth (`examination`).

Nothing is written before everything is proved.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from torch import nn

from bundle import Bundle, BundleExists, write_bundle
from bundle.precision import Precision
from exporters.calls import Example
from exporters.convert import DEFAULT_OPSET
from exporters.dimensions import DynamicShapes
from exporters.errors import CheckFailed
from exporters.examination import Examination, Progress, examine
from exporters.report import render_report
from exporters.statistics import NamedMetric

__all__ = ["export", "write_examination"]

_log = logging.getLogger(__name__)


def export(
    model: nn.Module,
    example_inputs: Example,
    *,
    name: str,
    repository: Path | str,
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
    precision: Precision | str | None = None,
    max_loss: float | None = None,
    source: str | None = None,
    checkpoint_sha256: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a model in eval mode, prove that the file computes the same, and write a bundle.

    Findings that are warnings are logged, unless somebody is told of the progress, who can show
    them.

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
        allow: names of checks that may fail; the manifest records them. With ``batch-invariance``
            layers that use statistics of the batch at inference are exported.
        metric: judges the model, to see what the gap between its modes does to it.
        recalibrate: re-estimate batch norm statistics from the reference inputs and export that
            copy; a finding has the gap between the modes before and after.
        lower_group_norm: write GroupNormalization as primitives, for other servers.
        precision: of the file: fp16 for GPUs (on a CPU it is no faster), int8 for CPUs, which takes
            `reference_inputs`; as the model has it if left out. The file is proved in float32
            first, then converted and compared with float64 again.
        max_loss: what a narrower precision may lose, as part of each output's largest value: 0.01
            in fp16 and 0.05 in int8 if left out.
        source: what is exported, for the record; the model's class if left out.
        checkpoint_sha256: of the file that the weights came from.
        overwrite: replace the version if it exists.
        progress: told of each stage.

    Returns:
        The bundle as it lies in the repository.

    Raises:
        ExportError: see `exporters.errors`; the repository is then as it was.
        BundleExists: the version exists and is not to be overwritten.
        ValueError: there is no such precision.
    """
    folder = Path(repository)
    _require_free(folder, name, version, overwrite=overwrite)
    examination = examine(
        model,
        example_inputs,
        name=name,
        version=version,
        dynamic_shapes=dynamic_shapes,
        reference_inputs=reference_inputs,
        input_names=input_names,
        output_names=output_names,
        opset=opset,
        allow=allow,
        metric=metric,
        recalibrate=recalibrate,
        lower_group_norm=lower_group_norm,
        precision=None if precision is None else Precision(precision),
        max_loss=max_loss,
        source=source,
        checkpoint_sha256=checkpoint_sha256,
        progress=progress,
    )
    if progress is None:
        for finding in examination.manifest.findings:
            if finding.status == "warn":
                _log.warning("%s: %s: %s", name, finding.check, finding.meaning)
    return write_examination(examination, folder, overwrite=overwrite, progress=progress)


def write_examination(
    examination: Examination,
    repository: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write what was examined as a bundle, unless a check failed that was not allowed to.

    Args:
        examination: as `examine` gives it.
        repository: the folder of all models.
        overwrite: replace the version if it exists.
        progress: told of each stage.

    Raises:
        CheckFailed: one did; nothing is written.
        BundleExists: the version exists and is not to be overwritten.
    """
    if examination.failures:
        raise CheckFailed(examination.failures)
    if progress is not None:
        progress("report")
    report = render_report(examination)
    if progress is not None:
        progress("write")
    return write_bundle(
        repository,
        model=examination.model,
        manifest=examination.manifest,
        samples=examination.samples,
        extra_files={"report.html": report},
        overwrite=overwrite,
    )


def _require_free(repository: Path, name: str, version: int, *, overwrite: bool) -> None:
    """Refuse before the work what writing would refuse after it."""
    target = repository / name / str(version)
    if target.exists() and not overwrite:
        raise BundleExists(
            f"'{target}' exists; export another version (version=…, --version), or overwrite it"
            " (overwrite=True, --overwrite)."
        )
