"""``normserve tune``: how a model is run best on this machine, measured, and proved to be right.

What the service reads of it is in `service.model_tuning`; sessions are opened as it opens them.
"""

from normserve.tune.entry import command
from normserve.tune.evidence import Evidence

__all__ = ["Evidence", "command"]
