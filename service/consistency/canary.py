"""Draws some of the live requests and has them computed a second time, off their way.

A request that is drawn costs its way two numbers and a place in a queue: its arrays are held, not
copied, because nobody writes to the arrays of a request after it was decoded. Everything else
happens on one thread and in a helper process. When too much waits, requests are not compared and
counted as dropped; nothing here makes one wait or fail.
"""

import random
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import structlog

from service.consistency.helper import Helper
from service.consistency.record import Consistency
from service.consistency.report import Yardstick
from service.consistency.rerun import Forget, Part, Rerun
from service.consistency.source import Source
from service.errors import HelperError

__all__ = ["Canary"]

_log = structlog.stdlib.get_logger(__name__)

_MOST_ROWS = 4
"""Rows of one request that are run one by one; drawn, if it has more."""
_TIMEOUT_S = 120.0
"""That a second answer may take, the opening of its sessions included."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A request that waits to be compared; ``rows`` are run one by one, None as it came."""

    consistency: Consistency
    yardstick: Yardstick
    inputs: Arrays
    answer: Arrays
    rows: tuple[int, ...] | None
    size_bytes: int

    def rerun(self) -> Rerun:
        """What the helper is sent: no more of the arrays than it needs."""
        whole = Part(self.inputs, self.answer)
        return Rerun(
            source=self.consistency.source,
            yardstick=self.yardstick,
            parts=(whole,) if self.rows is None else tuple(map(whole.row, self.rows)),
        )


class Canary:
    """Compares a fraction of the answers with what they should be.

    Args:
        fraction: of the requests, between 0 (none) and 1.
        max_waiting: requests that may wait.
        max_bytes: of their tensors together.
        timeout_s: that one comparison may take.
        dice: draws; a seeded one for tests.
    """

    def __init__(
        self,
        *,
        fraction: float,
        max_waiting: int,
        max_bytes: int,
        timeout_s: float = _TIMEOUT_S,
        dice: random.Random | None = None,
    ) -> None:
        self._fraction = fraction
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._dice = random.Random() if dice is None else dice  # noqa: S311  # no secret depends on it
        self._helper = Helper()
        self._changed = threading.Condition()
        self._waiting: deque[_Drawn] = deque()
        self._gone: deque[Source] = deque()
        self._waiting_bytes = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def offer(self, consistency: Consistency, inputs: Arrays, answer: Arrays) -> None:
        """Perhaps compare an answer, later. Returns at once.

        Requests of a version of which it is not yet known how far right answers may be apart are
        not drawn.

        Args:
            consistency: of the version that answered.
            inputs: of the request.
            answer: the outputs that were asked for, as the client gets them.
        """
        if not self._fraction or self._dice.random() >= self._fraction:
            return
        report = consistency.status.report
        if report is None or report.yardstick is None:
            return
        is_independent = report.certificate.allows_batching
        drawn = _Drawn(
            consistency=consistency,
            yardstick=report.yardstick,
            inputs=inputs,
            answer=answer,
            rows=self._rows(inputs, answer) if is_independent else None,
            size_bytes=_size_bytes(inputs) + _size_bytes(answer),
        )
        if not self._put(drawn):
            consistency.live.drop()

    def forget(self, consistency: Consistency) -> None:
        """Compare no more of a version that answers no more, and keep nothing of it open."""
        with self._changed:
            if self._thread is None:
                return
            self._waiting = deque(d for d in self._waiting if d.consistency is not consistency)
            self._waiting_bytes = sum(drawn.size_bytes for drawn in self._waiting)
            self._gone.append(consistency.source)
            self._changed.notify_all()

    def close(self) -> None:
        """Compare no more; what is being compared is given up. Returns when it is."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._gone.clear()
            self._changed.notify_all()
            thread = self._thread
        self._helper.close()
        if thread is not None:
            thread.join()

    def _rows(self, inputs: Arrays, answer: Arrays) -> tuple[int, ...] | None:
        counts = {array.shape[:1] for array in (*inputs.values(), *answer.values())}
        if len(counts) > 1 or counts <= {(), (0,), (1,)}:  # one row is alone as it came
            return None
        ((count,),) = counts
        return tuple(sorted(self._dice.sample(range(count), min(count, _MOST_ROWS))))

    def _put(self, drawn: _Drawn) -> bool:
        with self._changed:
            if (
                self._is_closed
                or len(self._waiting) >= self._max_waiting
                or self._waiting_bytes + drawn.size_bytes > self._max_bytes
            ):
                return False
            self._waiting.append(drawn)
            self._waiting_bytes += drawn.size_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="canary", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return True

    def _work(self) -> None:
        while (next_one := self._next()) is not None:
            if isinstance(next_one, Source):
                self._close_sessions(next_one)
            else:
                self._compare(next_one)
        self._helper.stop()

    def _next(self) -> _Drawn | Source | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._gone or self._is_closed)
            if self._is_closed:
                return None
            if self._gone:
                return self._gone.popleft()
            drawn = self._waiting.popleft()
            self._waiting_bytes -= drawn.size_bytes
            return drawn

    def _close_sessions(self, source: Source) -> None:
        try:
            self._helper.ask(Forget(source), timeout_s=self._timeout_s)
        except HelperError as err:  # a process that has ended keeps nothing either
            if not self._is_closed:
                _log.info("sessions of the canary not closed", reason=str(err))

    def _compare(self, drawn: _Drawn) -> None:
        consistency = drawn.consistency
        log = _log.bind(model=consistency.source.name, version=consistency.source.version)
        try:
            differences = self._helper.ask(drawn.rerun(), timeout_s=self._timeout_s)
        except HelperError as err:
            if not self._is_closed and consistency.live.fail(str(err).partition("\n")[0]):
                log.warning("live request not compared", reason=str(err))
            return
        except Exception:
            # The edge of a thread that nobody waits for: a bug costs this comparison, and says so.
            if consistency.live.fail("an unexpected error; the server's log has the details"):
                log.exception("live request not compared")
            return
        for worse in consistency.live.add(differences):
            log.warning("live answer beyond tolerance", against=worse.against, reason=worse.reason)


def _size_bytes(arrays: Arrays) -> int:
    return sum(
        sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes
        for array in arrays.values()
    )
