"""ONNX Runtime alone: the model in a loop in this process, which is the limit of any server."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Bare", "bare_loop"]

_BATCHES = (1, 2, 4, 8, 16, 32, 64)

Run = Callable[[Mapping[str, np.ndarray]], object]


@dataclass(frozen=True, slots=True)
class Bare:
    """The best of all loops that were tried.

    Attributes:
        per_s: requests a second.
        threads: of a run.
        batch: requests a run.
        alone_ms: one request in a run with one thread.
    """

    per_s: float
    threads: int
    batch: int
    alone_ms: float


def bare_loop(
    opened: Callable[[int], Run],
    feeds: Mapping[str, np.ndarray],
    *,
    is_batchable: bool,
    seconds: float,
) -> Bare:
    """The best of one thread and all cores, and of any batch.

    Args:
        opened: gives the model's run for a number of threads.
        feeds: one request.
        is_batchable: whether requests may be put together along axis 0.
        seconds: for each loop; larger batches are not tried where one run takes as long.
    """
    tried: list[Bare] = []
    alone_ms = 0.0
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        run = opened(threads)
        for batch in _BATCHES if is_batchable else (1,):
            together = {name: np.concatenate([array] * batch) for name, array in feeds.items()}
            run(together)  # the first one allocates
            count, took = _repeat(run, together, seconds)
            alone_ms = alone_ms or took / count * 1e3
            tried.append(Bare(count * batch / took, threads, batch, alone_ms))
            if count == 1:
                break
    return max(tried, key=lambda each: each.per_s)


def _repeat(run: Run, feeds: Mapping[str, np.ndarray], seconds: float) -> tuple[int, float]:
    count, began = 0, time.perf_counter()
    while True:
        run(feeds)
        count += 1
        took = time.perf_counter() - began
        if took >= seconds:
            return count, took
