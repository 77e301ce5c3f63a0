"""Everything that is counted of a model version: integers that grow. Decides nothing.

Plain integers without locks, because they are on the way of every request: one thread, the event
loop's, writes them. Another thread that reads may see a request half counted.
"""

from enum import StrEnum

from service.statistics.histogram import Histogram
from service.statistics.snapshot import BatchStatistics, Duration, Statistics

__all__ = ["Batch", "Counters", "FailureReason"]

_SECONDS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0),
)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_EXACT_SIZES = 256
"""Runs with more rows are counted under the next power of two: clients choose the number of rows,
and each that is counted apart costs memory."""


class FailureReason(StrEnum):
    """Why a request was not answered, by Triton's names."""

    OTHER = "OTHER"
    """What was asked cannot be read, does not fit the model, or cannot be written as was asked."""
    REJECTED = "REJECTED"
    """There was no place for it, or it was not computed in the time that it has."""
    CANCELED = "CANCELED"
    """Nobody waits for the answer any more."""
    BACKEND = "BACKEND"
    """The model could not compute it, or was lost while it did."""


class Batch:
    """Runs with one number of rows."""

    __slots__ = ("compute_ns", "input_ns", "output_ns", "runs")

    def __init__(self) -> None:
        self.runs = self.input_ns = self.compute_ns = self.output_ns = 0

    def statistics(self, size: int) -> BatchStatistics:
        """The counts now, of runs with so many rows."""
        return BatchStatistics(
            batch_size=size,
            compute_input=Duration(self.runs, self.input_ns),
            compute_infer=Duration(self.runs, self.compute_ns),
            compute_output=Duration(self.runs, self.output_ns),
        )


class Counters:
    """Everything that grows. Nanoseconds of the parts are of answered requests."""

    __slots__ = (
        *("answered", "batches", "begun", "compute_ns", "fail_ns", "failures", "inferences"),
        *("input_ns", "last_ms", "output_ns", "queue", "queue_ns", "requests", "rows", "runs"),
        "success_ns",
    )

    def __init__(self) -> None:
        self.begun = self.answered = self.success_ns = self.fail_ns = 0
        self.inferences = self.runs = self.last_ms = 0
        self.input_ns = self.queue_ns = self.compute_ns = self.output_ns = 0
        self.failures = dict.fromkeys(FailureReason, 0)
        self.batches: dict[int, Batch] = {}
        self.requests = Histogram(_SECONDS)
        self.queue = Histogram(_SECONDS)
        self.rows = Histogram(_ROWS)

    def batch(self, size: int) -> Batch:
        """The counts of the runs with so many rows."""
        if size > _EXACT_SIZES:
            size = 1 << (size - 1).bit_length()
        found = self.batches.get(size)
        if found is None:
            found = self.batches[size] = Batch()
        return found

    def statistics(self) -> Statistics:
        """The counts now; a value of its own each time."""
        failures = {reason.value: count for reason, count in self.failures.items()}
        failed = sum(failures.values())
        answered = self.answered
        return Statistics(
            last_inference_ms=self.last_ms,
            inference_count=self.inferences,
            execution_count=self.runs,
            success=Duration(answered, self.success_ns),
            fail=Duration(failed, self.fail_ns),
            failures=failures,
            queue=Duration(answered, self.queue_ns),
            compute_input=Duration(answered, self.input_ns),
            compute_infer=Duration(answered, self.compute_ns),
            compute_output=Duration(answered, self.output_ns),
            batches=tuple(
                seen.statistics(size) for size, seen in sorted(self.batches.copy().items())
            ),
            pending=self.begun - answered - failed,
            request_seconds=self.requests.buckets(),
            queue_seconds=self.queue.buckets(),
            run_rows=self.rows.buckets(),
        )
