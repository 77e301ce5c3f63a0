"""What training leaves behind in a model: running statistics, and what its two modes differ by.

Not for: the file that is made of it. Everything here runs copies in torch.
"""

from exporters.statistics.agreement import Agreement, measure_agreement
from exporters.statistics.axes import AxesMeasurement, Learned, Reach, measure_axes
from exporters.statistics.gap import (
    SIZES,
    ModelMetric,
    NamedMetric,
    SizeGap,
    TrainEvalGap,
    measure_gap,
)
from exporters.statistics.gap_plot import draw_gap
from exporters.statistics.health import Kind, Problem, problems_of
from exporters.statistics.layer_gap import LayerGap
from exporters.statistics.network_axes import NetworkAxes, measure_network
from exporters.statistics.recalibrate import Recalibration, compare_recalibrated, recalibrate
from exporters.statistics.rows import Rows
from exporters.statistics.shared import Shared
from exporters.statistics.tracked import Tracked, tracked_layers
from exporters.statistics.weight_axes import WeightAxes

__all__ = [
    "SIZES",
    "Agreement",
    "AxesMeasurement",
    "Kind",
    "LayerGap",
    "Learned",
    "ModelMetric",
    "NamedMetric",
    "NetworkAxes",
    "Problem",
    "Reach",
    "Recalibration",
    "Rows",
    "Shared",
    "SizeGap",
    "Tracked",
    "TrainEvalGap",
    "WeightAxes",
    "compare_recalibrated",
    "draw_gap",
    "measure_agreement",
    "measure_axes",
    "measure_gap",
    "measure_network",
    "problems_of",
    "recalibrate",
    "tracked_layers",
]
