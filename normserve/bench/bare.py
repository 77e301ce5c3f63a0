"""ONNX Runtime alone: the model in a loop in this process, which is the limit of any server."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Bare", "bare_loop"]

_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_LONGER = 6  # times as long goes the best loop, once more

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

    Of many short loops the one that looks best was also lucky: it is timed once more, for longer,
    and that time counts.

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
            together = _together(feeds, batch)
            run(together)  # the first one allocates
            count, took = _repeat(run, together, seconds)
            alone_ms = alone_ms or took / count * 1e3
            tried.append(Bare(count * batch / took, threads, batch, alone_ms))
            if count == 1:
                break
    best = max(tried, key=lambda each: each.per_s)
    together = _together(feeds, best.batch)
    run = opened(best.threads)
    run(together)
    count, took = _repeat(run, together, _LONGER * seconds)
    return replace(best, per_s=count * best.batch / took)


def _together(feeds: Mapping[str, np.ndarray], batch: int) -> Mapping[str, np.ndarray]:
    return {name: np.concatenate([array] * batch) for name, array in feeds.items()}


def _repeat(run: Run, feeds: Mapping[str, np.ndarray], seconds: float) -> tuple[int, float]:
    count, began = 0, time.perf_counter()
    while True:
        run(feeds)
        count += 1
        took = time.perf_counter() - began
        if took >= seconds:
            return count, took
