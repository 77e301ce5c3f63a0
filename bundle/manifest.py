"""What a bundle says of itself: ``manifest.json``. Knows nothing of how it was found out.

The JSON Schema of this version is published in ``docs/manifest.schema.json``.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from bundle.certificate import BatchCertificate
from bundle.comparison import Tolerance
from bundle.conversion import Conversion
from bundle.document import Document
from bundle.tensors import TensorSpec

__all__ = [
    "SCHEMA_VERSION",
    "DimensionRange",
    "Fate",
    "Finding",
    "InputStatistics",
    "Manifest",
    "ModelName",
    "NormLayer",
    "NormStatistics",
    "Provenance",
]

SCHEMA_VERSION: Final = 1

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""A folder's name and a segment of a URL: no separators, no leading dot."""

Fate = Literal["folded", "kept", "merged", "decomposed", "removed"]
"""What became of a norm layer.

``folded``: its arithmetic is in the weights of a neighbour. ``kept``: it is its own operator.
``merged``: a re-parametrized weight (weight norm …) was computed once and for all. ``decomposed``:
it runs as primitive operators. ``removed``: nothing that is served depends on it.
"""


class NormStatistics(Document):
    """What a batch normalization computed with, for each channel; kept where a fold removes it.

    Attributes:
        mean: the running mean μ, shape (channels,).
        variance: the running variance σ², shape (channels,).
        scale: γ, shape (channels,), or ``None`` without an affine part.
        shift: β, shape (channels,), or ``None`` without an affine part.
        epsilon: ε.
    """

    mean: tuple[float, ...]
    variance: tuple[float, ...]
    scale: tuple[float, ...] | None
    shift: tuple[float, ...] | None
    epsilon: float


class InputStatistics(Document):
    """The input of a norm layer over the reference inputs, all elements together."""

    mean: float
    std: float
    minimum: float
    maximum: float


class NormLayer(Document):
    """One normalization layer of the torch model and what became of it.

    Attributes:
        name: its qualified name in the torch model (``layer1.0.bn2``).
        kind: its class name (``BatchNorm2d``, ``LlamaRMSNorm`` …).
        fate: what became of it.
        nodes: the nodes of the file that now do its work.
        op: the operator of the first of them, ``None`` where there is none.
        detail: one phrase for a person ("into Conv 'conv1'", "decomposed: no operator …").
        error: the largest absolute difference between its output in the file and torch's in
            float64, with the input that it is nearest for; ``None`` where no value of the file is
            its output.
        tolerance: what that error may be, from torch's own float32 error at the same place.
        statistics: what it computed with, if it has running statistics.
        input_statistics: of its input over the reference inputs, if it was run.
    """

    name: str
    kind: str
    fate: Fate
    nodes: tuple[str, ...]
    op: str | None
    detail: str
    error: float | None = None
    tolerance: Tolerance | None = None
    statistics: NormStatistics | None = None
    input_statistics: InputStatistics | None = None


class Finding(Document):
    """What one check found.

    Attributes:
        check: its name (``eval-parity`` …).
        status: how it ended.
        measured: the number it measured, in the unit of its tolerance.
        tolerance: what was allowed.
        meaning: one sentence: what the number says of the model.
        remedy: what to do; empty when there is nothing to do.
    """

    check: str
    status: Literal["pass", "warn", "fail", "not_applicable"]
    measured: float | None
    tolerance: Tolerance | None
    meaning: str
    remedy: str = ""


class DimensionRange(Document):
    """The sizes that a named dynamic dimension was exported for; ``None`` is no limit."""

    minimum: int = 1
    maximum: int | None = None


class Provenance(Document):
    """Where a bundle comes from.

    Attributes:
        source: what was exported (``models:resnet``, ``package.module:factory``).
        checkpoint_sha256: the digest of the checkpoint file, if weights came from one.
        opset: of the ONNX file.
        versions: of the packages that made it, by name.
        created: when, with its time zone.
    """

    source: str
    checkpoint_sha256: str | None
    opset: int
    versions: dict[str, str]
    created: datetime


class Manifest(Document):
    """The contract between who exports a model and who serves it.

    Attributes:
        schema_version: of this document's form.
        name: of the model.
        version: of the model, 1 or more.
        inputs: in the order of the file.
        outputs: in the order of the file.
        dimensions: the range of each named dynamic dimension.
        files: SHA-256 (hex) of every other file of the version folder, by its path below it.
        provenance: where the bundle comes from.
        norms: every normalization layer and what became of it.
        findings: what the checks found at export.
        tolerances: how far each float output may be from its golden sample.
        batch_dependent: layers that use batch statistics at inference, which was asked for; rows
            of one batch then influence each other. Empty: none is known.
        allowed: the checks whose failure was allowed when it was exported.
        certificate: whether rows may share a batch, as established at export: on another machine or
            provider it is to be established again.
        group_norm: "standard": GroupNormalization is in the file as ONNX has it, "lowered": as
            primitives for runtimes that open the file without NormServe.
        conversion: how the file was narrowed from float32; None where it computes in the types of
            the model that was exported.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: ModelName
    version: int = Field(ge=1)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dimensions: dict[str, DimensionRange] = Field(default_factory=dict)
    files: dict[str, str]
    provenance: Provenance
    norms: tuple[NormLayer, ...]
    findings: tuple[Finding, ...]
    tolerances: dict[str, Tolerance]
    batch_dependent: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    certificate: BatchCertificate | None = None
    group_norm: Literal["standard", "lowered"] = "standard"
    conversion: Conversion | None = None
