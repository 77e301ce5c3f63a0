"""Models in other precisions: converting them, and what they lose against float64.

Not for: which precision to serve, or writing files. Knows no torch.
"""

from bundle.precision.float64 import Dispute, Float64Model
from bundle.precision.kept import Kept
from bundle.precision.kinds import Precision
from bundle.precision.parity import precision_finding, variant_findings
from bundle.precision.tolerance import precision_tolerance
from bundle.precision.variant import Variant, kept_nodes, make_variant, variant

__all__ = [
    "Dispute",
    "Float64Model",
    "Kept",
    "Precision",
    "Variant",
    "kept_nodes",
    "make_variant",
    "precision_finding",
    "precision_tolerance",
    "variant",
    "variant_findings",
]
