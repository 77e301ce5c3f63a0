"""Requests to runs: what waits, what runs together, and whose rows are whose.

Not for: how a run is computed (`service.engine`), nor whether requests may share one
(`service.consistency`).
"""

from service.batching.admission import Admission
from service.batching.batcher import Batcher
from service.batching.batchers import Batchers
from service.batching.plan import Plan
from service.batching.turns import Turns

__all__ = ["Admission", "Batcher", "Batchers", "Plan", "Turns"]
