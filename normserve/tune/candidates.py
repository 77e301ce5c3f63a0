"""Which ways to run a model are worth measuring, one stage after another. Measures nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from bundle import GraphLevel
from bundle.providers import CUDA
from normserve.tune.model import Limits
from normserve.tune.setting import Setting
from service.consistency.pace import Pace

__all__ = ["batch_sizes", "sessions", "shares", "thread_counts"]

_NEARLY: Final = 0.8
"""Of the best throughput: a size that reached less when it was established is not tried again."""
_MOST_INTER_OP_THREADS: Final = 4

_CUDA_OPTIONS: Final = (
    ("cudnn_conv_algo_search", "EXHAUSTIVE"),
    ("cudnn_conv_algo_search", "DEFAULT"),
    ("cudnn_conv_use_max_workspace", "0"),
    ("prefer_nhwc", "1"),
)


def batch_sizes(base: Setting, paces: Sequence[Pace]) -> Iterator[Setting]:
    """Rows of a shared run, of those that answered as they do alone.

    Args:
        base: what is varied.
        paces: of the sizes, as they were established; empty where requests share no runs.
    """
    best = max((pace.rows_per_s for pace in paces), default=0.0)
    for pace in paces:
        if pace.rows == 1 or pace.rows_per_s >= _NEARLY * best:
            yield replace(base, rows=pace.rows)


def thread_counts(base: Setting, limits: Limits) -> Iterator[Setting]:
    """Threads of a run that has the cores to itself, and as many runs as there is then room for."""
    for threads in _counts(limits.cores // base.tuning.inter_op_threads):
        yield replace(base, threads=threads, instances=limits.instances_of(threads, base.tuning))


def shares(base: Setting, limits: Limits, *, most_rows: int) -> Iterator[Setting]:
    """How the cores are shared: a few runs of many threads, or many of few.

    Args:
        base: what is varied. A run of more threads may do with more rows.
        limits: the cores, and the runs at the same time.
        most_rows: of a shared run.
    """
    sizes = {base.rows}
    if base.rows > 1:
        sizes.add(min(2 * base.rows, most_rows))
    for threads in _counts(limits.cores // base.tuning.inter_op_threads):
        most = limits.instances_of(threads, base.tuning)
        for instances in sorted({most, max(1, most // 2)}):
            for rows in sorted(sizes):
                yield replace(base, threads=threads, instances=instances, rows=rows)


def sessions(base: Setting, limits: Limits, *, provider: str) -> Iterator[Setting]:
    """How the session is set up: each option by itself.

    Args:
        base: what is varied.
        limits: the cores.
        provider: that the model runs on.
    """
    tuning = base.tuning
    for level in GraphLevel:
        if level is not tuning.level:
            yield replace(base, tuning=replace(tuning, level=level))
    yield replace(base, tuning=replace(tuning, mem_arena=not tuning.mem_arena))
    yield replace(base, tuning=replace(tuning, mem_pattern=not tuning.mem_pattern))
    if tuning.inter_op_threads != 1:
        yield replace(base, tuning=replace(tuning, inter_op_threads=1))
    elif limits.cores > 1:
        branches = replace(tuning, inter_op_threads=min(limits.cores, _MOST_INTER_OP_THREADS))
        most = limits.instances_of(base.threads, branches)
        yield replace(base, instances=min(base.instances, most), tuning=branches)
    if provider == CUDA:
        for name, value in _CUDA_OPTIONS:
            others = tuple(o for o in tuning.provider_options if o[:2] != (CUDA, name))
            options = tuple(sorted((*others, (CUDA, name, value))))
            yield replace(base, tuning=replace(tuning, provider_options=options))


def _counts(cores: int) -> list[int]:
    """Powers of two, and all the cores; 1 at least."""
    powers = (2**power for power in range(cores.bit_length()))
    return sorted({1, *powers, max(1, cores)})
