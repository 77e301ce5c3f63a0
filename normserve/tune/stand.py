"""A model run as the service runs it, in one way: tried first, then measured. Compares no ways."""

import asyncio
import statistics
from collections.abc import Callable, Mapping
from typing import Literal

from bundle import BundleError
from bundle.checks import Feeds
from normserve.tune.errors import Refused
from normserve.tune.judge import Judge
from normserve.tune.model import TunedModel
from normserve.tune.search import Clock
from normserve.tune.setting import Setting
from service.engine import Engine, Opened, Pieces, Workshop
from service.errors import EngineFailed

__all__ = ["Objective", "Stand", "Stands"]

Objective = Literal["throughput", "latency"]


class Stand:
    """A session in the process that the service would run it in.

    Args:
        opened: the session.
        engine: runs it.
        judge: says what it must answer.
        clock: seconds, rising.
    """

    def __init__(self, opened: Opened, engine: Engine, judge: Judge, *, clock: Clock) -> None:
        self._clock = clock
        self._opened = opened
        self._engine = engine
        self._judge = judge
        self._rows_tried: set[int] = set()

    @property
    def provider(self) -> str:
        """The execution provider that was asked first."""
        return self._opened.provider

    async def try_rows(self, rows: int) -> None:
        """Hold a run of so many rows against the rows alone, once, before the first measurement.

        Raises:
            Refused: a row does not agree.
        """
        if rows not in self._rows_tried:
            try:
                self._judge.require_own_rows(self._opened, rows)
            except (BundleError, EngineFailed) as err:
                raise Refused(str(err)) from err
            self._rows_tried.add(rows)

    async def answers_a_second(self, *, rows: int, lanes: int, seconds: float) -> float:
        """Keep so many runs going for so long, and let those that have begun end."""
        feeds = _pieces(self._judge.feeds(rows))
        runs = 0
        begun = self._clock()

        async def lane() -> None:
            nonlocal runs
            while True:
                await self._engine.start(feeds, ())
                runs += 1
                if self._clock() - begun >= seconds:
                    return

        await asyncio.gather(*(lane() for _ in range(lanes)))
        return runs * rows / (self._clock() - begun)

    async def run_seconds(self, *, seconds: float) -> float:
        """Run one request after another for so long; the median of what each took."""
        feeds = _pieces(self._judge.feeds(1))
        took: list[float] = []
        begun = self._clock()
        while not took or self._clock() - begun < seconds:
            before = self._clock()
            await self._engine.start(feeds, ())
            took.append(self._clock() - before)
        return statistics.median(took)

    async def close(self) -> None:
        """End the process."""
        await self._engine.close()


class Stands:
    """Those of a model, each made when it is first asked for.

    Args:
        model: what is run.
        judge: says what it must answer.
        workshop: opens it.
        objective: what is measured.
        say: is told what is done.
        clock: seconds, rising.
    """

    def __init__(
        self,
        model: TunedModel,
        judge: Judge,
        workshop: Workshop,
        *,
        objective: Objective,
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._model = model
        self._judge = judge
        self._workshop = workshop
        self._objective = objective
        self._say = say
        self._clock = clock
        self._stands: dict[object, Stand] = {}

    async def require(self, setting: Setting) -> Stand:
        """The stand of a setting, which has answered right.

        Raises:
            Refused: it does not answer right, or cannot be opened, or has ended.
        """
        stand = self._stands.get(setting.session)
        if stand is None:
            self._say(f"open: {setting}")
            stand = self._stands[setting.session] = self._open(setting)
        await stand.try_rows(setting.rows)
        return stand

    async def measure(self, setting: Setting, seconds: float) -> float:
        """Answers in a second; for latency, those that one after another would give.

        Raises:
            Refused: it could not be measured.
        """
        stand = await self.require(setting)
        self._say(str(setting))
        try:
            if self._objective == "latency":
                return 1 / await stand.run_seconds(seconds=seconds)
            return await stand.answers_a_second(
                rows=setting.rows, lanes=setting.instances, seconds=seconds
            )
        except (BundleError, EngineFailed) as err:
            raise Refused(str(err)) from err

    async def keep(self, *settings: Setting) -> None:
        """End the processes of all others."""
        kept = {setting.session for setting in settings}
        for session in [session for session in self._stands if session not in kept]:
            await self._stands.pop(session).close()

    def _open(self, setting: Setting) -> Stand:
        try:
            opened = self._workshop.open(
                self._model.file,
                policy=self._model.policy,
                threads=setting.threads,
                tuning=setting.tuning,
                at_once=setting.instances,
            )
        except (BundleError, EngineFailed) as err:
            raise Refused(str(err)) from err
        try:
            self._judge.require_right(opened)
        except (BundleError, EngineFailed, Refused) as err:
            opened.close()
            raise Refused(str(err)) from err
        return Stand(opened, opened.engine(self._try_again), self._judge, clock=self._clock)

    def _try_again(self, opened: Opened) -> None:
        """What takes the place of a process that has ended must answer right, too."""
        try:
            self._judge.require_right(opened)
        except Refused as err:
            raise EngineFailed(str(err)) from err


def _pieces(feeds: Feeds) -> Mapping[str, Pieces]:
    return {name: (array,) for name, array in feeds.items()}
