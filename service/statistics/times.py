"""What a runner tells of the run that a request was computed in. Adds nothing up."""

from dataclasses import dataclass

__all__ = ["ExecutionTimes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTimes:
    """Of one run of a model, as one of its requests has seen it.

    Attributes:
        queue: nanoseconds that the request waited for the run.
        compute: nanoseconds that the run took; the same for all requests that share it.
        batch_size: rows of the run, of all its requests together; None where it was this request's
            alone, so that its rows are the request's.
        first_row: of the run that is this request's. The request that has row 0 is the one with
            which the run is counted.
    """

    queue: int
    compute: int
    batch_size: int | None = None
    first_row: int = 0
