"""From an examination to the document of its report. Draws nothing, and runs no file."""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from bundle import Datatype, Sample
from exporters.checks import TorchSubject
from exporters.error_histogram import ErrorHistogram
from exporters.errors import ExportError
from exporters.examination import Examination
from exporters.report.document import (
    DimensionSizes,
    ExportReport,
    OutputParity,
    ProbeParity,
    SampleTensor,
)
from exporters.report.graph_change import graph_change
from exporters.statistics import NetworkAxes, TrainEvalGap
from exporters.verify import Compared, Proof

__all__ = ["describe"]


def describe(examination: Examination) -> ExportReport:
    """Everything that the report of an export says.

    Args:
        examination: of the model, whether its checks failed or not.
    """
    manifest, subject = examination.manifest, examination.subject
    return ExportReport(
        manifest=manifest,
        outputs=tuple(_outputs(examination)),
        probes=tuple(_probes(subject.proof)),
        has_reference=subject.proof.has_reference,
        dimensions=tuple(
            DimensionSizes(name=name, range=limits, sizes=tuple(sorted(set(_sizes(subject, name)))))
            for name, limits in manifest.dimensions.items()
        ),
        axes=_axes(subject),
        graph=graph_change(subject.source.model, subject.converted, examination.model),
        samples=tuple(_sample_tensors(examination.samples)),
        gap=_gap(subject),
    )


def _sizes(subject: TorchSubject, dimension: str) -> Iterator[int]:
    """Those of the random inputs, then those of the real ones."""
    yield from (sizes[dimension] for sizes in subject.sizes)
    for tensors in subject.references:
        for tensor, axes in zip(tensors, subject.source.dimensions.axes, strict=True):
            yield from (tensor.shape[axis] for axis, name in axes.items() if name == dimension)


def _axes(subject: TorchSubject) -> NetworkAxes | None:
    try:
        return subject.axes
    except ExportError:
        return None  # the page says that it is not known


def _gap(subject: TorchSubject) -> TrainEvalGap | None:
    try:
        return subject.gap
    except ExportError:
        return None  # the check train-eval-gap has met the same, and says why


def _outputs(examination: Examination) -> Iterator[OutputParity]:
    proof = examination.subject.proof
    for spec in examination.manifest.outputs:
        worst = proof.worst(spec.name)
        run = proof.run_of(worst)
        yield OutputParity(
            output=spec,
            worst=worst,
            probe=run.probe,
            optimized=run.optimized,
            errors=ErrorHistogram.total(run.errors[spec.name] for run in proof.compared),
            own_errors=proof.own_errors.get(spec.name),
        )


def _probes(proof: Proof) -> Iterator[ProbeParity]:
    """The runs with the same inputs together; they come in the same order both times."""
    by_setting = {
        optimized: [run for run in proof.compared if run.optimized is optimized]
        for optimized in (True, False)
    }
    for optimized, plain in zip(by_setting[True], by_setting[False], strict=True):
        errors = [*optimized.errors.items(), *plain.errors.items()]
        yield ProbeParity(
            probe=optimized.probe,
            elements=sum(of_output.elements for of_output in optimized.errors.values()),
            optimized=_largest(optimized),
            plain=_largest(plain),
            output=max(errors, key=lambda item: item[1].largest)[0],
        )


def _largest(run: Compared) -> float:
    return max(errors.largest for errors in run.errors.values())


def _sample_tensors(samples: Iterable[Sample]) -> Iterator[SampleTensor]:
    for number, sample in enumerate(samples):
        for name, array in sample.inputs.items():
            yield _sample_tensor(number, "input", name, array)
        for name, array in sample.outputs.items():
            yield _sample_tensor(number, "output", name, array)


def _sample_tensor(
    number: int, role: Literal["input", "output"], name: str, array: np.ndarray
) -> SampleTensor:
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    return SampleTensor(
        sample=number,
        role=role,
        name=name,
        datatype=Datatype.from_numpy(array.dtype),
        shape=array.shape,
        minimum=float(finite.min()) if finite.size else None,
        mean=float(finite.mean()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
    )
