"""From a PyTorch module to a proved bundle. Knows torch and ONNX; never the service.

`export` does all of it. Importing this package imports torch.
"""

from exporters.checkpoint import load_checkpoint
from exporters.convert import DEFAULT_OPSET, OPSETS
from exporters.errors import (
    BatchStatistics,
    CheckFailed,
    CheckpointInvalid,
    ConversionFailed,
    DimensionInvalid,
    ExportError,
    FactoryInvalid,
    InputsInvalid,
    ModelNotCopyable,
    ModelRefused,
    OpsetUnsupported,
    OutputsInvalid,
    RandomAtInference,
    SourceInvalid,
    StateChanges,
    StatisticsInvalid,
    StuckInTraining,
    VerificationFailed,
    WeightsInvalid,
)
from exporters.examination import Examination, Progress, examine
from exporters.factory import resolve_factory
from exporters.pipeline import export

__all__ = [
    "DEFAULT_OPSET",
    "OPSETS",
    "BatchStatistics",
    "CheckFailed",
    "CheckpointInvalid",
    "ConversionFailed",
    "DimensionInvalid",
    "Examination",
    "ExportError",
    "FactoryInvalid",
    "InputsInvalid",
    "ModelNotCopyable",
    "ModelRefused",
    "OpsetUnsupported",
    "OutputsInvalid",
    "Progress",
    "RandomAtInference",
    "SourceInvalid",
    "StateChanges",
    "StatisticsInvalid",
    "StuckInTraining",
    "VerificationFailed",
    "WeightsInvalid",
    "examine",
    "export",
    "load_checkpoint",
    "resolve_factory",
]
