"""What a report says, as numbers: the manifest, and the evidence that it sums up. Draws nothing.

`exporters.report.describe` makes it of an examination, `exporters.report.page` a page of it.
"""

from typing import Literal

from bundle import Datatype, DimensionRange, Finding, Manifest, OutputComparison, TensorSpec
from bundle.document import Document
from exporters.error_histogram import ErrorHistogram
from exporters.graph import Rule
from exporters.statistics import NetworkAxes, TrainEvalGap

__all__ = [
    "DimensionSizes",
    "ExportReport",
    "GraphChange",
    "OperatorCount",
    "OutputParity",
    "ProbeParity",
    "RewriteCount",
    "SampleTensor",
]


class OutputParity(Document):
    """One output of the file against PyTorch, over all runs.

    Attributes:
        output: which one.
        worst: the comparison with the largest error.
        probe: the inputs of that comparison, in words.
        optimized: whether ONNX Runtime's graph optimizations were on in it.
        errors: those of all elements of all runs.
        own_errors: PyTorch's own against its float64, in parts of the same tolerance; None where
            there is no float64 reference, and where the output must be equal.
    """

    output: TensorSpec
    worst: OutputComparison
    probe: str
    optimized: bool
    errors: ErrorHistogram
    own_errors: ErrorHistogram | None


class ProbeParity(Document):
    """One set of inputs, all outputs together.

    Attributes:
        probe: the inputs, in words.
        elements: of all outputs, in one run.
        optimized: the largest error in parts of its tolerance, graph optimizations on.
        plain: the same, optimizations off.
        output: the one that is furthest off in either run.
    """

    probe: str
    elements: int
    optimized: float
    plain: float
    output: str


class DimensionSizes(Document):
    """A named dimension, what it was exported for, and the sizes at which it was run."""

    name: str
    range: DimensionRange
    sizes: tuple[int, ...]


class OperatorCount(Document):
    """How many nodes of an operator there are in the traced graph, and in the file."""

    operator: str
    before: int
    after: int


class RewriteCount(Document):
    """Nodes of one operator that one rule took out.

    Attributes:
        rule: why they went.
        operator: what they were.
        count: how many.
        node: the first of them.
        into: the nodes that do the first one's work now.
    """

    rule: Rule
    operator: str
    count: int
    node: str
    into: tuple[str, ...]


class GraphChange(Document):
    """The graph as it was traced, and as it is in the file.

    Attributes:
        operators: most frequent ones of the file first, then those that are gone.
        rewrites: what was folded, fused and merged.
        parameters_before: numbers in the float parameters and buffers of the PyTorch model.
        parameters_after: numbers in the float weights and constants of the file.
        model_bytes: the size of the model, weights included.
    """

    operators: tuple[OperatorCount, ...]
    rewrites: tuple[RewriteCount, ...]
    parameters_before: int
    parameters_after: int
    model_bytes: int

    @property
    def nodes_before(self) -> int:
        """Of the traced graph."""
        return sum(count.before for count in self.operators)

    @property
    def nodes_after(self) -> int:
        """Of the file."""
        return sum(count.after for count in self.operators)


class SampleTensor(Document):
    """One tensor of a golden sample; the numbers are over its finite elements.

    Attributes:
        sample: the number of the sample, as in ``test_data_set_0``.
        role: what it is to the model.
        name: of the tensor.
        datatype: of its elements.
        shape: its sizes.
        minimum: None where no element is finite.
        mean: None where no element is finite.
        maximum: None where no element is finite.
    """

    sample: int
    role: Literal["input", "output"]
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    minimum: float | None
    mean: float | None
    maximum: float | None


class ExportReport(Document):
    """Everything that the page shows.

    Attributes:
        manifest: of the bundle; its files are not listed yet.
        outputs: each against PyTorch.
        probes: the same by inputs.
        has_reference: whether the file was compared with float64.
        dimensions: that are dynamic.
        axes: over which the normalization layers take their statistics; None where it could not be
            measured.
        graph: before and after the optimization.
        samples: the tensors of the golden samples.
        gap: training mode against eval mode; None where it could not be measured.
    """

    manifest: Manifest
    outputs: tuple[OutputParity, ...]
    probes: tuple[ProbeParity, ...]
    has_reference: bool
    dimensions: tuple[DimensionSizes, ...]
    axes: NetworkAxes | None
    graph: GraphChange
    samples: tuple[SampleTensor, ...]
    gap: TrainEvalGap | None

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The failures that nobody allowed: with one, no bundle is written."""
        allowed = self.manifest.allowed
        return tuple(f for f in self.failures if f.check not in allowed)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What failed, whether it was allowed to or not."""
        return tuple(f for f in self.manifest.findings if f.status == "fail")
