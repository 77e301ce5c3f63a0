"""Whether a served model answers as it should: established at load and on request, watched live.

What takes time runs in helper processes at the lowest priority, so that requests never wait for
it: the examinations (`examiner`), and the canary's second answers (`canary`). What is known of a
version is kept in its `Consistency`. Answers no requests and knows no HTTP.
"""

from service.consistency.cache import Cache
from service.consistency.canary import Canary
from service.consistency.examiner import Examiner
from service.consistency.live import Against, Live, LiveOutput, LiveSnapshot
from service.consistency.record import (
    Batching,
    Consistency,
    Exported,
    Golden,
    Phase,
    Placement,
    Status,
)
from service.consistency.report import Key, Report, Yardstick
from service.consistency.source import Source

__all__ = [
    "Against",
    "Batching",
    "Cache",
    "Canary",
    "Consistency",
    "Examiner",
    "Exported",
    "Golden",
    "Key",
    "Live",
    "LiveOutput",
    "LiveSnapshot",
    "Phase",
    "Placement",
    "Report",
    "Source",
    "Status",
    "Yardstick",
]
