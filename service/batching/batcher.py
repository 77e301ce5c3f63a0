"""The batcher: forms runs from what waits, and gives every caller its own rows. Computes nothing.

Greedy unless its plan says otherwise: whenever a run may begin, it begins with all that waits and
fits. A run that fails takes nobody with it who is innocent: it is done again in halves, down to the
request that it fails for. Where the model's process ended during a run, each request of it is tried
once more, with nothing else beside it; one that ends the process again is the one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from bundle.errors import BundleError, InputInvalid, RunInterrupted
from service.batching.admission import Admission
from service.batching.assembly import BatchBroken, join, merge, share
from service.batching.plan import Plan
from service.batching.quarantine import Quarantine
from service.batching.queue import LEAST_URGENT, Job, Part, Queue
from service.engine import Engine, Run
from service.errors import (
    InferenceRefused,
    RequestQuarantined,
    RunLost,
    ServerNotReady,
    TimeoutExpired,
)
from service.runner import Computed
from service.statistics import ExecutionTimes

__all__ = ["Batcher"]

_ALONE = 1
_log = structlog.stdlib.get_logger(__name__)


class Batcher:
    """Runs the requests of one model version; a `Runner`. For one event loop.

    Args:
        engine: computes a run.
        admission: how many requests may be inside, over all models.
        rows: how many rows of different requests may run together now; 1 is none. It may change at
            any time: a certificate comes after the first requests.
        plan: how they share runs.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        admission: Admission,
        rows: Callable[[], int] = lambda: _ALONE,
        plan: Plan | None = None,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._allowed = rows
        self._plan = plan or Plan()
        self._queue = Queue()
        self._running: dict[asyncio.Future[Run], list[Part]] = {}
        self._suspects: deque[Job] = deque()
        self._trial: asyncio.Future[Run] | None = None
        self._quarantine = Quarantine()
        self._alarm: asyncio.Handle | None = None
        self._is_broken = False

    async def run(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        *,
        priority: int = 0,
        timeout_us: int = 0,
    ) -> Computed:
        """Compute the wanted outputs; see `Runner`."""
        loop = asyncio.get_running_loop()
        job = Job(
            inputs,
            tuple(outputs),
            urgency=priority or LEAST_URGENT,
            submitted_ns=time.perf_counter_ns(),
            answer=loop.create_future(),
        )
        self._quarantine.check(job)
        self._admission.enter()
        timer = (
            loop.call_later(timeout_us / 1e6, self._expire, job, timeout_us) if timeout_us else None
        )
        try:
            for part in job.parts(self._rows if self._rows > _ALONE else 0):
                self._queue.add(part)
            if self._alarm is None and len(self._running) < self._plan.at_once:
                # after everything that came in this turn of the loop, so that it goes together
                self._alarm = loop.call_soon(self._ring)
            return await job.answer
        except asyncio.CancelledError:
            self._abandon(job)
            raise
        finally:
            self._admission.leave()
            if timer is not None:
                timer.cancel()

    @property
    def _rows(self) -> int:
        return _ALONE if self._is_broken else self._allowed()

    def _ring(self) -> None:
        self._alarm = None
        self._dispatch()

    def _dispatch(self) -> None:
        """Begin as many runs as may, with what waits."""
        if self._suspects:
            self._try_suspect()
            return
        while self._queue and len(self._running) < self._plan.at_once:
            most = self._rows
            if most > _ALONE:
                if self._must_wait(most):
                    return
                if self._plan.preferred:
                    most = self._plan.size(self._queue.rows, most)
            parts = self._queue.take(most)
            if parts:
                self._begin(parts)

    def _must_wait(self, most: int) -> bool:
        """Whether to wait for more rows; rings again when the time for that is over."""
        if not self._plan.delay_s or not self._plan.is_worth_waiting(self._queue.rows, most):
            return False
        waited_s = (time.perf_counter_ns() - self._queue.oldest_ns) / 1e9
        if waited_s >= self._plan.delay_s:
            return False
        if self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(self._plan.delay_s - waited_s, self._ring)
        return True

    def _begin(self, parts: list[Part]) -> asyncio.Future[Run]:
        run = self._engine.start(join(parts), parts[0].job.outputs)
        self._running[run] = parts
        run.add_done_callback(self._finish)
        return run

    def _try_suspect(self) -> None:
        """Run the next of those whose run was lost, once nothing else runs."""
        while self._suspects and not self._running:
            job = self._suspects.popleft()
            if not job.is_over:
                (whole,) = job.parts(0)
                self._trial = self._begin([whole])

    def _finish(self, run: asyncio.Future[Run]) -> None:
        parts = self._running.pop(run)
        error = None if run.cancelled() else run.exception()
        was_trial = run is self._trial
        if isinstance(error, RunLost):
            self._suspect(parts, error, was_trial=was_trial)
            return
        if isinstance(error, BundleError) and len(parts) > 1:
            waited_for = [part for part in parts if not part.job.is_over]
            half = len(waited_for) // 2
            for some in (waited_for[:half], waited_for[half:]):
                if some:
                    self._begin(some)
            return
        self._dispatch()  # first, so that what computes does not wait for answers to be given
        if error is not None:
            for part in parts:
                _fail(part.job, error)
        elif not run.cancelled():  # else nobody waits for it
            self._give(run.result(), parts)

    def _give(self, run: Run, parts: list[Part]) -> None:
        try:
            shares = share(run.outputs, parts)
        except BatchBroken as err:
            self._undo(parts, reason=str(err))
            return
        row = 0
        rows = sum(part.rows for part in parts)
        for part, outputs in zip(parts, shares, strict=True):
            job = part.job
            times = ExecutionTimes(
                queue=run.begun_ns - job.submitted_ns,
                compute=run.ended_ns - run.begun_ns,
                batch_size=rows,
                first_row=row,
            )
            row += part.rows
            job.computed[part.index] = Computed(outputs, times)
            _answer(job)

    def _undo(self, parts: list[Part], *, reason: str) -> None:
        """The certificate was wrong, or the model is not what it was: each request runs alone."""
        if not self._is_broken:
            self._is_broken = True
            _log.error("no more batches", reason=reason)
        for job in dict.fromkeys(part.job for part in parts):
            if not job.is_over:
                self._queue.discard(job)
                for whole in job.parts(0):
                    self._queue.add(whole)
        self._dispatch()

    def _suspect(self, parts: list[Part], error: RunLost, *, was_trial: bool) -> None:
        """A run was lost with those that were in it: find out who it was."""
        for job in dict.fromkeys(part.job for part in parts):
            if job.is_over:
                continue
            if was_trial:
                self._quarantine.add(job)
                quarantined = RequestQuarantined(
                    f"{error}, twice, and nothing else was computed the second time"
                )
                quarantined.__cause__ = error
                job.answer.set_exception(quarantined)
            else:
                self._queue.discard(job)
                self._suspects.append(job)
        self._dispatch()

    def _expire(self, job: Job, timeout_us: int) -> None:
        if not job.is_over:
            job.answer.set_exception(
                TimeoutExpired(f"the request was not computed within its {timeout_us} µs")
            )
            self._abandon(job)

    def _abandon(self, job: Job) -> None:
        """Nobody waits for a job any more: neither shall it, nor a run that is only for it."""
        self._queue.discard(job)
        for run, parts in self._running.items():
            if all(part.job.is_over for part in parts):
                run.cancel()


def _answer(job: Job) -> None:
    if job.is_over or None in job.computed:
        return
    pieces: list[Any] = job.computed
    if len(pieces) == 1:
        job.answer.set_result(pieces[0])
        return
    times = ExecutionTimes(
        queue=pieces[0].times.queue,
        compute=sum(piece.times.compute for piece in pieces),
        batch_size=pieces[0].times.batch_size,
        first_row=pieces[0].times.first_row,
    )
    job.answer.set_result(Computed(merge([piece.outputs for piece in pieces]), times))


def _fail(job: Job, error: BaseException) -> None:
    if job.is_over:
        return
    told: BaseException = error
    if isinstance(error, InputInvalid):
        told = InferenceRefused(str(error))
    elif isinstance(error, RunInterrupted):
        told = ServerNotReady("the server is being stopped")
    if told is not error:
        told.__cause__ = error
    job.answer.set_exception(told)
