"""An engine that doubles its inputs, a batcher over it, and rows to give it."""

import asyncio

import numpy as np

from service.batching import Admission, Batcher, Plan, Turns
from service.engine import Run


class FakeEngine:
    """Remembers what it was given. Where it is held, a run ends when `settle` is called."""

    def __init__(self, *, is_held=False, at_once=1, ahead=0):
        self.is_held = is_held
        self.at_once = at_once
        self.ahead = ahead
        self.is_up = True
        self.is_closed = False
        self.runs = []
        self.futures = []
        self.failures = {}
        self.took_ns = 1000
        self.give = lambda outputs: outputs

    def start(self, feeds, outputs):
        whole = {name: np.concatenate(list(pieces)) for name, pieces in feeds.items()}
        future = asyncio.get_running_loop().create_future()
        self.runs.append(whole)
        self.futures.append(future)
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.settle, len(self.runs) - 1)
        return future

    def settle(self, index=-1):
        future, feeds = self.futures[index], self.runs[index]
        if future.done():
            return
        failed = [self.failures[v] for v in feeds["x"].flat if float(v) in self.failures]
        if failed:
            future.set_exception(failed[0]())
        else:
            future.set_result(Run(self.give({"y": feeds["x"] * 2}), 0, self.took_ns))

    async def close(self):
        self.is_closed = True

    @property
    def sizes(self):
        return [len(feeds["x"]) for feeds in self.runs]


def batcher(engine, *, most=8, inside=100, turns=None, **plan):
    return Batcher(
        engine,
        admission=Admission(most=inside),
        turns=turns or Turns(8),
        rows=lambda: most,
        plan=Plan(**plan),
    )


def rows(*values):
    return {"x": np.array([[float(value)] for value in values], dtype=np.float32)}


async def turns_of_the_loop(count=6):
    """Let the loop go round as often as anything needs that waits for nothing."""
    for _ in range(count):
        await asyncio.sleep(0)
