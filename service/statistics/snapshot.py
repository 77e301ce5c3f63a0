"""What is known of the requests of one model version at one moment: values, nothing that counts."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.statistics.histogram import Buckets

__all__ = ["BatchStatistics", "Duration", "Statistics"]


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and how long it took in all.

    Attributes:
        count: how often.
        ns: nanoseconds, of all together.
    """

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatistics:
    """Of the runs with one number of rows.

    Attributes:
        batch_size: the rows of each; above 256 the next power of two.
        compute_input: taking their requests apart.
        compute_infer: running.
        compute_output: writing their replies.
    """

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of one model version since it was loaded; a replacement of it goes on counting.

    Attributes:
        last_inference_ms: when the last run ended, in milliseconds since 1970; 0 where none was.
        inference_count: inferences that were answered: rows where the model's configuration has a
            batch (``max_batch_size``), requests where it has none.
        execution_count: runs of the model.
        success: requests that were answered, from the first byte that was decoded to the last that
            was encoded.
        fail: requests that were not.
        failures: how many of those, by their reason.
        queue: waiting for a run, of the requests that were answered; so are the next three.
        compute_input: taking the request apart: its bytes to arrays.
        compute_infer: running.
        compute_output: writing the reply: arrays to bytes.
        batches: of the runs, by their number of rows.
        pending: requests that have come and are not answered.
        request_seconds: how long requests took that were answered.
        queue_seconds: how long they waited for a run.
        run_rows: rows of the runs.
    """

    last_inference_ms: int
    inference_count: int
    execution_count: int
    success: Duration
    fail: Duration
    failures: Mapping[str, int]
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    batches: tuple[BatchStatistics, ...]
    pending: int
    request_seconds: Buckets
    queue_seconds: Buckets
    run_rows: Buckets
