"""Why an export did not happen. Not for: what is wrong with a bundle that exists (`bundle.errors`).

::

    ExportError
    ├── SourceInvalid           no model can be made of what was named
    │   ├── FactoryInvalid      ``package.module:factory`` does not lead to a model
    │   └── CheckpointInvalid   a weights file is unsafe, unreadable or of another model
    ├── InputsInvalid           the example inputs, or their names, do not fit the model
    ├── OutputsInvalid          the model returns nothing that can be served
    ├── DimensionInvalid        a dynamic dimension is not well declared, or is not dynamic
    ├── ModelNotCopyable        the model cannot be copied, and the original is never touched
    ├── OpsetUnsupported        no valid file can be made for that opset
    ├── ModelRefused            the file would silently compute something else
    │   ├── BatchStatistics     a layer uses statistics of the batch at inference
    │   ├── StuckInTraining     a layer never leaves training mode, and differs in it
    │   ├── RandomAtInference   a layer draws random numbers at inference
    │   ├── StatisticsInvalid   running statistics that are not finite
    │   ├── WeightsInvalid      weights that are no numbers
    │   └── StateChanges        an output depends on a buffer that each call changes
    ├── ConversionFailed        torch.export or the ONNX converter gave up
    ├── VerificationFailed      ONNX Runtime does not run the file as torch runs the model
    └── CheckFailed             a check failed, and that was not allowed

The class of an error names the check that it belongs to, in ``check``.
"""

from collections.abc import Sequence
from typing import ClassVar

from bundle import Finding

__all__ = [
    "BatchStatistics",
    "CheckFailed",
    "CheckpointInvalid",
    "ConversionFailed",
    "DimensionInvalid",
    "ExportError",
    "FactoryInvalid",
    "InputsInvalid",
    "ModelNotCopyable",
    "ModelRefused",
    "OpsetUnsupported",
    "OutputsInvalid",
    "RandomAtInference",
    "SourceInvalid",
    "StateChanges",
    "StatisticsInvalid",
    "StuckInTraining",
    "VerificationFailed",
    "WeightsInvalid",
    "first_line",
]


class ExportError(Exception):
    """The root of the tree: its message is a full sentence for a person.

    Attributes:
        check: the check that would have failed; ``export`` where nothing could be checked.
    """

    check: ClassVar[str] = "export"


class SourceInvalid(ExportError):
    """No model can be made of what was named."""


class FactoryInvalid(SourceInvalid):
    """``package.module:factory`` does not lead to a function that makes a model."""


class CheckpointInvalid(SourceInvalid):
    """A weights file is unsafe to load, unreadable, or belongs to another model."""


class InputsInvalid(ExportError):
    """The example inputs, the reference inputs or their names do not fit the model."""


class OutputsInvalid(ExportError):
    """The model returns nothing that can be served as named tensors."""


class DimensionInvalid(ExportError):
    """A dynamic dimension is not well declared, or the model does not leave it dynamic."""


class ModelNotCopyable(ExportError):
    """The model cannot be copied; exporting works on copies and never on the original."""


class OpsetUnsupported(ExportError):
    """No valid file can be made for the opset that was asked for."""


class ModelRefused(ExportError):
    """The file would silently compute something else than the model.

    Attributes:
        layers: the qualified names of the layers that are the reason.
    """

    def __init__(self, message: str, *, layers: tuple[str, ...]) -> None:
        super().__init__(message)
        self.layers = layers


class BatchStatistics(ModelRefused):
    """A layer uses statistics of the batch at inference: answers would depend on neighbours."""

    check = "batch-invariance"


class StuckInTraining(ModelRefused):
    """A layer stays in training mode after ``model.eval()`` and computes something else there."""

    check = "mode"


class RandomAtInference(ModelRefused):
    """A layer draws random numbers at inference: no two answers would be equal."""

    check = "mode"


class StatisticsInvalid(ModelRefused):
    """Running statistics that are not finite, or a variance that has no square root."""

    check = "running-statistics"


class WeightsInvalid(ModelRefused):
    """Weights that are no numbers (NaN): what they reach is none either."""


class StateChanges(ModelRefused):
    """An output depends on a buffer that each call changes; a served model keeps no state."""

    check = "mode"


class ConversionFailed(ExportError):
    """torch.export or the ONNX converter gave up; the message holds its reason."""


class VerificationFailed(ExportError):
    """ONNX Runtime does not open the file, or does not run it on inputs that torch takes."""

    check = "eval-parity"


class CheckFailed(ExportError):
    """Checks failed, and nobody allowed them to: nothing is written.

    Attributes:
        findings: those that failed.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        said = "; ".join(f"{finding.check}: {finding.meaning}" for finding in findings)
        names = " ".join(f"--allow {name}" for name in dict.fromkeys(f.check for f in findings))
        super().__init__(f"{said}. To export it all the same: {names} (allow=… in Python).")
        self.findings = tuple(findings)


def first_line(error: BaseException) -> str:
    """The first line of an error that says something, with its type where that is all there is."""
    for line in str(error).splitlines():
        if line.strip():
            return line.strip()
    return type(error).__name__
