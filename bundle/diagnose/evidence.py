"""What is known of a divergence, for whoever names its cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from bundle.diagnose.graph import Graph, Region
from bundle.precision.kinds import Precision
from bundle.providers import CPU

__all__ = ["Evidence", "computing", "listed"]

_SILENT = frozenset({"Constant", "Identity"})
_MOST = 6


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a divergence.

    Attributes:
        actual: the graph under examination, and its nodes between agreement and divergence.
        expected: the same of the other graph; None where there is none.
        precision: the coarsest that the value depends on under examination.
        is_explained: whether rounding in that precision explains the difference.
        largest: the magnitude of values between agreement and divergence, in float64.
        folded: for nodes of the file under examination, the layer that was folded into each.
        provider: that the file under examination runs on.
        relative: the difference as part of the largest value.
    """

    actual: tuple[Graph, Region]
    expected: tuple[Graph, Region] | None
    precision: Precision | None = None
    is_explained: bool = False
    largest: Mapping[str, float] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    provider: str = CPU
    relative: float = 0.0


def computing(region: Region) -> list[onnx.NodeProto]:
    """The nodes of a region that compute."""
    return [node for node in region.nodes if node.op_type not in _SILENT]


def listed(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
