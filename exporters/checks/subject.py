"""What a check of an export looks at. Checks nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx
import torch

from bundle import NormLayer
from exporters.convert import Converted, Subject
from exporters.statistics import (
    SIZES,
    NamedMetric,
    NetworkAxes,
    Rows,
    TrainEvalGap,
    measure_gap,
    measure_network,
    tracked_layers,
)
from exporters.verify import Proof

__all__ = ["TorchSubject"]


@dataclass(frozen=True, kw_only=True)  # no slots: what is measured later is kept in its __dict__
class TorchSubject:
    """A torch model and the file that was made of it.

    What both a check and the report want is measured once, when first asked for.

    Attributes:
        source: the model, how it is called, and what it computes in eval mode.
        references: real inputs; may be empty.
        converted: how it became a graph.
        file: the model file, with its weights inside.
        proof: every comparison of the file with torch.
        norms: every normalization layer and what became of it.
        sizes: of the dynamic dimensions at which the file was compared.
        metric: judges the model, if there is one.
        gap_before: training mode against eval mode before the statistics were recalibrated, if they
            were.
    """

    source: Subject
    references: tuple[tuple[torch.Tensor, ...], ...]
    converted: Converted
    file: onnx.ModelProto
    proof: Proof
    norms: tuple[NormLayer, ...]
    sizes: tuple[Mapping[str, int], ...]
    metric: NamedMetric | None = None
    gap_before: TrainEvalGap | None = None

    @cached_property
    def rows(self) -> Rows:
        """The real inputs, or the example where there are none, as rows."""
        calls = self.references or (self.source.example,)
        return Rows.of_tensors(self.source.call, calls, self.source.dimensions)

    @cached_property
    def gap(self) -> TrainEvalGap:
        """Training mode against eval mode.

        Raises:
            ExportError: the modes could not be compared.
        """
        # without running statistics a difference would be no matter of sampling, nor of real inputs
        is_sampling = self.references and any(True for _ in tracked_layers(self.source.model))
        return measure_gap(
            self.source.model,
            self.rows,
            sizes=SIZES if is_sampling else SIZES[:2],
            metric=self.metric.judge if self.metric and is_sampling else None,
            metric_name=self.metric.name if self.metric else "metric",
        )

    @cached_property
    def axes(self) -> NetworkAxes:
        """Over which axes each normalization layer takes its statistics.

        Raises:
            ExportError: the model does not run on random rows.
        """
        return measure_network(self.source.model, self.rows)
