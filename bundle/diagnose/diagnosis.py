"""What a diagnosis says. Documents; how they are found out is elsewhere."""

from enum import StrEnum

from bundle.certificate import Operator
from bundle.comparison import OutputComparison
from bundle.document import Document

__all__ = ["Cause", "CauseKind", "Diagnosis", "Reproduction", "Step", "Verdict"]


class Verdict(StrEnum):
    """How two ways of computing the same compare."""

    AGREES = "agrees"
    """Every value is within the tolerance that rounding earns it."""
    EXPLAINED = "explained"
    """Values differ by more than float32's rounding, and a coarser precision explains all of it."""
    DIVERGES = "diverges"
    """A value differs by more than rounding in its precision explains."""


class CauseKind(StrEnum):
    """What made a value differ, as far as the graphs and the numbers tell."""

    TRAIN_MODE = "train-mode"
    FOLD = "fold"
    WEIGHTS = "weights"
    EPSILON = "epsilon"
    ATTRIBUTE = "attribute"
    PRECISION = "precision"
    TF32 = "tf32"
    QUANTIZATION = "quantization"
    DYNAMIC_QUANTIZATION = "dynamic-quantization"
    OPTIMIZATION = "optimization"
    THREADS = "threads"
    OPERATOR = "operator"
    OTHER = "other"


class Cause(Document):
    """The likely cause of a divergence.

    Attributes:
        kind: for programs.
        meaning: one sentence, with the evidence.
        remedy: what to do.
    """

    kind: CauseKind
    meaning: str
    remedy: str


class Step(Document):
    """One value that both ways compute.

    Attributes:
        value: its name.
        layer: the torch module or the node that gives it.
        operator: the node of the file under examination that gives it.
        rounding: float32's own error here, against float64.
        scale: its largest magnitude.
        within_float32: whether it differs by no more than float32's rounding.
        comparison: with the tolerance of the precision that it is computed in.
    """

    value: str
    layer: str
    operator: Operator | None
    rounding: float
    scale: float
    within_float32: bool
    comparison: OutputComparison

    @property
    def error(self) -> float:
        """The largest difference; infinite where there is nothing to subtract."""
        error = self.comparison.max_abs_error
        return float("inf") if error is None else error


class Reproduction(Document):
    """The smallest part of the model that shows the divergence.

    Attributes:
        nodes: how many nodes it has.
        inputs: the names of its inputs, which both ways agree on.
        is_whole: whether it had to begin at the model's inputs: alone, the nodes behind the first
            divergence do not show it.
        reproduces: whether it was run and did show the divergence.
        error: what it showed.
    """

    nodes: int
    inputs: tuple[str, ...]
    is_whole: bool
    reproduces: bool
    error: float | None


class Diagnosis(Document):
    """Two ways of computing the same model, value by value.

    Attributes:
        expected: what is taken to be right, in words.
        actual: what is under examination.
        verdict: the result.
        steps: every value that was compared, in the order of the graph.
        first: the first one that differs, if any does.
        cause: of that.
        conditioning: one sentence on how rounding errors grow through this network.
        reproduction: of the first divergence, if one was made.
        notes: what else a reader should know.
    """

    expected: str
    actual: str
    verdict: Verdict
    steps: tuple[Step, ...]
    first: Step | None = None
    cause: Cause | None = None
    conditioning: str
    reproduction: Reproduction | None = None
    notes: tuple[str, ...] = ()
