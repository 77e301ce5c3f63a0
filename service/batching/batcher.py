"""The batcher: forms runs from what waits, and gives every caller its own rows. Computes nothing.

Greedy unless its plan says otherwise: whenever a run may begin, it begins with all that waits and
fits. Runs that are shorter than it takes to hand one over go one after the other and not side by
side: who comes meanwhile shares the next one. Where more waits than that, full runs are given to
the engine ahead, so that it goes from one to the next without waiting for this process. A run that
fails takes nobody with it who is innocent: it is done again in halves, down to the request that it
fails for. Where the model's process ended during a run, each request of it is tried once more, with
nothing else beside it; one that ends the process again is the one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import structlog

from bundle.errors import BundleError, InputInvalid, RunInterrupted
from service.batching.admission import Admission
from service.batching.assembly import BatchBroken, join, merge, share
from service.batching.plan import Plan
from service.batching.quarantine import Quarantine
from service.batching.queue import LEAST_URGENT, Job, Part, Queue
from service.batching.turns import Turns
from service.engine import Engine, Run, Watch
from service.errors import (
    EngineFailed,
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
_RUNS = 8  # that tell how long one takes
_SHORT_NS = 200_000  # a run that takes less is over before another one has been handed over
_SOON_NS = 1_000_000  # in which such a run has ended, if all is well
_log = structlog.stdlib.get_logger(__name__)


class Batcher:
    """Runs the requests of one model version; a `Runner`. For one event loop.

    Args:
        engine: computes a run.
        admission: how many requests may be inside, over all models.
        turns: who may run now, over all models.
        threads: of a run, which is what it takes of these.
        rows: how many rows of different requests may run together now; 1 is none. It may change at
            any time: a certificate comes after the first requests.
        plan: how they share runs.

    Attributes:
        watch: who is told whether the model can be asked.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        admission: Admission,
        turns: Turns,
        threads: int = 1,
        rows: Callable[[], int] = lambda: _ALONE,
        plan: Plan | None = None,
    ) -> None:
        self.watch = Watch()
        self._engine = engine
        engine.watch = Watch(down=self._go_down, up=self._come_up)
        self._admission = admission
        self._turns = turns
        self._threads = threads
        self._allowed = rows
        self._plan = plan or Plan()
        self._queue = Queue()
        self._again: deque[list[Part]] = deque()
        self._suspects: deque[Job] = deque()
        self._running: dict[asyncio.Future[Run], list[Part]] = {}
        self._trial: Job | None = None
        self._quarantine = Quarantine()
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.Handle | None = None
        self._run_ns = float(_RUNS * _SHORT_NS)  # until it is known better
        self._began_ns = 0
        self._is_broken = False
        self._down = ""

    def require_room(self) -> None:
        """Whether a request would be taken; see `Runner`."""
        self._admission.require_room()

    def submit(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        *,
        priority: int = 0,
        timeout_us: int = 0,
    ) -> asyncio.Future[Computed]:
        """Compute the wanted outputs; see `Runner`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Computed] = loop.create_future()
        job = Job(
            inputs,
            tuple(outputs),
            urgency=priority or LEAST_URGENT,
            submitted_ns=time.perf_counter_ns(),
            answer=answer,
        )
        if self._down:
            raise EngineFailed(self._down)
        self._quarantine.check(job)
        self._admission.enter(job.size)
        answer.add_done_callback(partial(self._leave, job))
        if timeout_us:
            timer = loop.call_later(timeout_us / 1e6, self._expire, job, timeout_us)
            answer.add_done_callback(lambda _: timer.cancel())
        for part in job.parts(self._rows if self._rows > _ALONE else 0):
            self._queue.add(part)
        if self._soon is None and len(self._running) < self._engine.at_once + self._engine.ahead:
            # after everything that came in this turn of the loop, so that it goes together
            self._soon = loop.call_soon(self._ring)
        return answer

    async def close(self) -> None:
        """Run no more; whoever waits learns of it."""
        self._down = "the model is being taken out of service"
        self._fail_waiting(EngineFailed(self._down))
        await self._engine.close()

    @property
    def _rows(self) -> int:
        return _ALONE if self._is_broken else self._allowed()

    def _ring(self) -> None:
        self._soon = None
        self._dispatch()

    def _ring_later(self) -> None:
        self._later = None
        self._dispatch()

    def _dispatch(self) -> None:
        """Begin as many runs as may, with what waits."""
        while self._engine.is_up and self._is_next():
            is_ahead = self._is_full  # then the turn is that of the run that ends first
            if not (is_ahead or self._take_turn()):
                return
            parts = self._next()
            if not parts:
                if not is_ahead:
                    self._turns.give(self._threads)
                continue
            self._began_ns = time.perf_counter_ns()
            run = self._engine.start(join(parts), parts[0].job.outputs)
            self._running[run] = parts
            run.add_done_callback(self._finish)

    @property
    def _is_full(self) -> bool:
        """Whether a run more could not begin now."""
        return len(self._running) >= self._engine.at_once

    def _take_turn(self) -> bool:
        return self._turns.take(self._dispatch, self._threads)

    def _is_next(self) -> bool:
        """Whether a run may begin, if there is a turn for it."""
        while self._suspects and self._suspects[0].is_over:
            self._suspects.popleft()
        if self._suspects:  # they run with nothing beside them
            return not self._running
        if self._trial is not None:
            return False
        if self._is_full:
            return self._is_next_ahead()
        return bool(self._again) or (bool(self._queue) and not self._must_wait())

    def _is_next_ahead(self) -> bool:
        """Whether to give the engine a run before it can begin.

        Only a full one, or those who come until then could not share it; and only where no other
        model waits for its turn.
        """
        return (
            len(self._running) < self._engine.at_once + self._engine.ahead
            and bool(self._queue)
            and not self._again
            and not self._turns.are_wanted
            and self._is_full_run()
        )

    def _is_full_run(self) -> bool:
        most = self._rows
        return most <= _ALONE or self._queue.rows >= self._plan.full(most)

    def _next(self) -> list[Part]:
        """What runs next; nothing where nobody waits for it any more."""
        if self._suspects:
            self._trial = self._suspects.popleft()
            return self._trial.parts(0)
        if self._again:
            return [part for part in self._again.popleft() if not part.job.is_over]
        most = self._rows
        if most > _ALONE and self._plan.preferred:
            most = self._plan.size(self._queue.rows, most)
        return self._queue.take(most)

    def _must_wait(self) -> bool:
        """Whether to wait for more rows; rings again when the time for that is over."""
        if self._rows <= _ALONE or self._is_full_run():
            return False
        until_ns = 0
        if self._plan.delay_s:
            until_ns = self._queue.oldest_ns + int(self._plan.delay_s * 1e9)
        if self._running and self._run_ns < _SHORT_NS:
            until_ns = max(until_ns, self._began_ns + _SOON_NS)
        left_ns = until_ns - time.perf_counter_ns()
        if left_ns > 0 and self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(left_ns / 1e9, self._ring_later)
        return left_ns > 0

    def _finish(self, run: asyncio.Future[Run]) -> None:
        parts = self._running.pop(run)
        was_trial, self._trial = self._trial is not None, None
        error = None if run.cancelled() else run.exception()
        if isinstance(error, RunLost):
            self._suspect(parts, error, was_trial=was_trial)
        elif isinstance(error, BundleError) and len(parts) > 1:
            half = len(parts) // 2
            self._again += [parts[:half], parts[half:]]
        if not self._is_full:  # else the turn is the next one's, which has begun
            self._turns.give(self._threads)
        self._dispatch()  # first, so that what computes does not wait for answers to be given
        if run.cancelled() or isinstance(error, RunLost):
            return
        if error is None:
            self._give(run.result(), parts)
        elif len(parts) == 1 or not isinstance(error, BundleError):
            for part in parts:
                _fail(part.job, error)

    def _give(self, run: Run, parts: list[Part]) -> None:
        """Give each part its share of a run."""
        try:
            shares = share(run.outputs, parts)
        except BatchBroken as err:
            self._undo(parts, reason=str(err))
            return
        took_ns = run.ended_ns - run.begun_ns
        self._run_ns += (took_ns - self._run_ns) / _RUNS
        is_shared = len(parts) > 1 or not parts[0].is_whole
        rows = sum(part.rows for part in parts) if is_shared else None
        first = 0
        for part, outputs in zip(parts, shares, strict=True):
            times = ExecutionTimes(
                queue=run.begun_ns - part.job.submitted_ns,
                compute=took_ns,
                batch_size=rows,
                first_row=first,
            )
            first += part.rows
            if not part.is_stale:
                part.answer(Computed(outputs, times))
                _answer(part.job)

    def _undo(self, parts: list[Part], *, reason: str) -> None:
        """The certificate was wrong, or the model is not what it was: each request runs alone."""
        if not self._is_broken:
            self._is_broken = True
            _log.error("no more batches", reason=reason)
        for job in dict.fromkeys(part.job for part in parts):
            self._queue.discard(job)
            if not job.is_over:
                self._again.append(job.parts(0))
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
            elif job not in self._suspects:
                self._queue.discard(job)
                self._suspects.append(job)

    def _go_down(self, reason: str) -> None:
        """The model's process does not come back for now."""
        self._down = reason
        self._fail_waiting(EngineFailed(reason))
        self.watch.down(reason)

    def _fail_waiting(self, error: EngineFailed) -> None:
        waiting = [*self._suspects, *(part.job for parts in self._again for part in parts)]
        while parts := self._queue.take(_ALONE):
            waiting += [part.job for part in parts]
        self._suspects.clear()
        self._again.clear()
        for job in waiting:
            _fail(job, error)

    def _come_up(self) -> None:
        """It is back."""
        if self._down:
            self._down = ""
            self.watch.up()
        self._dispatch()

    def _leave(self, job: Job, answer: asyncio.Future[Computed]) -> None:
        self._admission.leave(job.size)
        if answer.cancelled():
            self._abandon(job)

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
    """Answer a job whose parts have all run."""
    if job.is_over or job.missing:
        return
    pieces = [piece for piece in job.computed if piece is not None]
    if len(pieces) == 1:
        job.answer.set_result(pieces[0])
        return
    first = pieces[0].times
    times = ExecutionTimes(
        queue=first.queue,
        compute=sum(piece.times.compute for piece in pieces),
        batch_size=first.batch_size,
        first_row=first.first_row,
    )
    job.answer.set_result(Computed(merge([piece.outputs for piece in pieces]), times))


def _fail(job: Job, error: BaseException) -> None:
    if job.is_over:
        return
    told = error
    if isinstance(error, InputInvalid):
        told = InferenceRefused(str(error))
    elif isinstance(error, RunInterrupted):
        told = ServerNotReady("the server is being stopped")
    if told is not error:
        told.__cause__ = error
    job.answer.set_exception(told)
