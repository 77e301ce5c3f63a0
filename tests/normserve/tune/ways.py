"""A workshop whose models take as long, and answer as wrong, as a test says.

Time passes only while they run, so that nothing depends on the machine.
"""

import asyncio
from dataclasses import dataclass, field, replace

from bundle import ModelInvalid
from service.engine import ThreadWorkshop, Watch
from service.errors import RunLost

QUICK_S = 0.1
SLOW_S = 0.2


class PacedEngine:
    """Another engine, whose runs take what is said."""

    def __init__(self, engine, ways, seconds, *, is_lost):
        self.engine = engine
        self.ways = ways
        self.seconds = seconds
        self.is_lost = is_lost
        self.at_once = engine.at_once
        self.ahead = 0
        self.is_up = True
        self.pid = None
        self.deaths = 0
        self.watch = Watch()

    def start(self, feeds, outputs):
        async def run():
            computed = await self.engine.start(feeds, outputs)
            self.ways.now += self.seconds
            if self.is_lost:
                raise RunLost("the model's process ended during the run")
            return computed

        return asyncio.ensure_future(run())

    async def close(self):
        await self.engine.close()


@dataclass
class Ways:
    """A `Workshop`.

    Attributes:
        seconds: that a run takes, by how the model was opened.
        is_wrong: whether answers are, by how the model was opened.
        is_refused: whether it cannot be opened like that.
        is_lost: whether its process ends while it runs.
        opened: how it was opened so far.
        now: the time.
    """

    seconds: object = lambda **how: QUICK_S
    is_wrong: object = lambda **how: False
    is_refused: object = lambda **how: False
    is_lost: object = lambda **how: False
    opened: list = field(default_factory=list)
    now: float = 0.0
    pending: int = 0

    def __post_init__(self):
        self.workshop = ThreadWorkshop(at_once=2)

    def open(self, path, **how):
        self.opened.append(how)
        if self.is_refused(**how):
            raise ModelInvalid("not like that")
        opened = self.workshop.open(path, **how)
        run = opened.run

        def wrong(feeds, *more):
            return {name: array + 1 for name, array in run(feeds, *more).items()}

        return replace(
            opened,
            run=wrong if self.is_wrong(**how) else run,
            engine=lambda trial: PacedEngine(
                opened.engine(trial), self, self.seconds(**how), is_lost=self.is_lost(**how)
            ),
        )

    def clock(self):
        return self.now

    def close(self):
        self.workshop.close()
