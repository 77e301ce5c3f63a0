"""Runs one model in a process of its own, and brings the process back when it ends.

A model that crashes, or never ends, costs those who asked it some time, and nobody else anything.
Whoever was in a run when the process ended learns of it by `RunLost`, and may ask again; whoever
waits goes on waiting, unless the process does not come back.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Final

import structlog

from bundle import BundleError
from service.engine.link import Link, Slot
from service.engine.run import Pieces, Run, Watch
from service.errors import EngineFailed, RunLost, ServiceError

__all__ = ["ProcessEngine"]

_GRACE_S: Final = 1.0
"""That a run has to end in when it is told to; then its process is ended."""
_LONGEST_PAUSE_S: Final = 30.0
_SHORTEST_PAUSE_S: Final = 0.25
_MOST_DEATHS: Final = 5
"""In a row, without an answer in between: then it is told, and started anew after a while."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Wanted:
    """A run that waits or goes on.

    Attributes:
        has_begun: whether the process is at it, as far as is known here.
    """

    feeds: Mapping[str, Pieces]
    outputs: Sequence[str]
    future: asyncio.Future[Run]
    has_begun: bool = False
    timer: asyncio.TimerHandle | None = None


class ProcessEngine:
    """An `Engine` over a worker process.

    Args:
        link: to the worker.
        relink: another one with the same model, which was tried; blocks. What it raises speaks
            against it.
        run_timeout_s: that a run may take.

    Attributes:
        at_once: runs at the same time.
        deaths: how often the process has ended, or had to be ended.
        watch: who is told whether it is there.
    """

    def __init__(self, link: Link, *, relink: Callable[[], Link], run_timeout_s: float) -> None:
        self.at_once = link.at_once
        self.deaths = 0
        self.watch = Watch()
        self._link: Link | None = link
        self._relink = relink
        self._run_timeout_s = run_timeout_s
        self._free: list[Slot] = []
        self._busy: dict[Slot, _Wanted] = {}  # in the order that the process has them in
        self._waiting: deque[_Wanted] = deque()
        self._deaths_in_a_row = 0
        self._is_attached = False
        self._revival: asyncio.Task[None] | None = None

    @property
    def ahead(self) -> int:
        """Runs that may wait in the process; see `Engine`."""
        return 0 if self._link is None else len(self._link.slots) - self.at_once

    @property
    def is_up(self) -> bool:
        """Whether the process is there."""
        return self._link is not None

    @property
    def pid(self) -> int | None:
        """The process, while it is there. No other has its number then."""
        link = self._link
        return None if link is None else link.pid

    def start(self, feeds: Mapping[str, Pieces], outputs: Sequence[str]) -> asyncio.Future[Run]:
        """Begin a run; see `Engine`."""
        loop = asyncio.get_running_loop()
        if not self._is_attached and self._link is not None:
            self._attach(self._link)
        wanted = _Wanted(feeds, outputs, loop.create_future())
        wanted.future.add_done_callback(lambda _: self._give_up(wanted))
        self._waiting.append(wanted)
        self._begin()
        return wanted.future

    async def close(self) -> None:
        """End the process; whoever waits learns of it."""
        if self._revival is not None:
            self._revival.cancel()
            await asyncio.gather(self._revival, return_exceptions=True)
        link = self._detach()
        self._fail(EngineFailed("the model is being taken out of service"))
        if link is not None:
            await asyncio.to_thread(link.close)

    def _attach(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        # in no request's context: what is logged there is nobody's
        Context().run(loop.add_reader, link.fileno(), self._ended, link)
        self._link = link
        self._is_attached = True
        self._free = list(link.slots)

    def _detach(self) -> Link | None:
        link, self._link = self._link, None
        if link is not None and self._is_attached:
            asyncio.get_running_loop().remove_reader(link.fileno())
        self._free = []
        return link

    def _begin(self) -> None:
        """Give the process what waits, as far as there are slots."""
        while self._waiting and self._free and self._link is not None:
            wanted = self._waiting.popleft()
            if wanted.future.done():
                continue
            slot = self._free.pop()
            try:
                self._link.start(slot, wanted.feeds, wanted.outputs)
            # whatever it is, it is the answer to whoever waits
            except Exception as err:  # noqa: BLE001  # the edge to another process
                self._free.append(slot)
                _settle(wanted, err)
            else:
                self._busy[slot] = wanted
        for slot, wanted in itertools.islice(self._busy.items(), self.at_once):
            if not wanted.has_begun:
                wanted.has_begun = True
                self._watch_over(slot, wanted)

    def _watch_over(self, slot: Slot, wanted: _Wanted) -> None:
        """A run has begun, and must end."""
        loop = asyncio.get_running_loop()
        if wanted.future.done():  # it was told to end before it began
            loop.call_later(_GRACE_S, self._end_process, slot, wanted)
        else:
            wanted.timer = loop.call_later(self._run_timeout_s, self._time_out, wanted)

    def _ended(self, link: Link) -> None:
        try:
            slot, gave = link.finish()
        except (EOFError, OSError):
            self._died()
            return
        self._deaths_in_a_row = 0
        wanted = self._busy.pop(slot)
        self._free.append(slot)
        self._begin()
        _settle(wanted, gave)

    def _died(self) -> None:
        link = self._detach()
        self.deaths += 1
        self._deaths_in_a_row += 1
        victims = [wanted for wanted in self._busy.values() if wanted.has_begun]
        self._waiting.extendleft(
            wanted for wanted in reversed(self._busy.values()) if not wanted.has_begun
        )
        self._busy.clear()
        self._revival = asyncio.create_task(self._revive(link), context=Context())
        for wanted in victims:
            _settle(wanted, RunLost("the model's process ended during the run"))

    async def _revive(self, link: Link | None) -> None:
        if link is not None:
            await self._bury(link)
        pause_s = 0.0
        if self._deaths_in_a_row > _MOST_DEATHS:
            pause_s = _LONGEST_PAUSE_S
            self._tell_down(f"its process ended {self._deaths_in_a_row} times in a row")
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._bring_back()
            except (BundleError, ServiceError) as err:
                reason = str(err)
            # whatever it is, those who wait for the process must learn of it
            except Exception:  # noqa: BLE001  # the edge of a task that nobody waits for
                _log.exception("model process not brought back")
                reason = "an unexpected error; the server's log has the details"
            else:
                self._revival = None
                self._begin()
                self.watch.up()
                _log.info("model process is back")
                return
            pause_s = min(max(2 * pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
            self._tell_down(f"its process ended and does not come back: {reason}")

    async def _bury(self, link: Link) -> None:
        try:
            how = await asyncio.to_thread(link.close)
        except Exception:  # noqa: BLE001  # as above: another is to take its place all the same
            _log.exception("model process not buried")
        else:
            _log.error("model process ended", how=how, in_a_row=self._deaths_in_a_row)

    async def _bring_back(self) -> None:
        link = await asyncio.to_thread(self._relink)
        try:
            self._attach(link)
        except BaseException:
            await asyncio.to_thread(link.close)
            raise

    def _tell_down(self, reason: str) -> None:
        _log.error("model unavailable", reason=reason)
        self._fail(EngineFailed(reason))
        self.watch.down(reason)

    def _fail(self, error: EngineFailed) -> None:
        going, self._busy = list(self._busy.values()), {}
        waiting, self._waiting = list(self._waiting), deque()
        for wanted in (*going, *waiting):
            _settle(wanted, error)

    def _time_out(self, wanted: _Wanted) -> None:
        _settle(wanted, RunLost(f"the run took longer than {self._run_timeout_s:g} s"))

    def _give_up(self, wanted: _Wanted) -> None:
        """A run is over for whoever wanted it; if it still goes on, end it."""
        if wanted.timer is not None:
            wanted.timer.cancel()
        slot = next((slot for slot, busy in self._busy.items() if busy is wanted), None)
        if slot is not None and self._link is not None:
            self._link.end_run(slot)
            if wanted.has_begun:
                asyncio.get_running_loop().call_later(_GRACE_S, self._end_process, slot, wanted)

    def _end_process(self, slot: Slot, wanted: _Wanted) -> None:
        if self._busy.get(slot) is wanted:
            self._died()


def _settle(wanted: _Wanted, gave: Run | Exception) -> None:
    if wanted.future.done():
        return
    if isinstance(gave, Exception):
        wanted.future.set_exception(gave)
    else:
        wanted.future.set_result(gave)
