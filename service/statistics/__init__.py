"""How often a model version was asked, how each request ended, and how long each part took.

A `Recorder` is told, on the event loop's thread; `Statistics` are what it knows at one moment.
Knows no transport and no metric.
"""

from service.statistics.counters import FailureReason
from service.statistics.document import statistics_document
from service.statistics.histogram import Buckets, Histogram
from service.statistics.recorder import Passage, Recorder
from service.statistics.snapshot import BatchStatistics, Duration, Statistics
from service.statistics.times import ExecutionTimes

__all__ = [
    "BatchStatistics",
    "Buckets",
    "Duration",
    "ExecutionTimes",
    "FailureReason",
    "Histogram",
    "Passage",
    "Recorder",
    "Statistics",
    "statistics_document",
]
