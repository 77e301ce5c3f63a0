"""An engine whose runs are filled up to a few sizes. Decides not whether a model's rows may be.

The rows that are added are the last one again: a value that the model can compute. What they give
is cut off. An output that has not one row for each of the batch ends this for good.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import structlog

from service.engine.run import Engine, Pieces, Run, Watch

__all__ = ["PaddedEngine"]

_log = structlog.stdlib.get_logger(__name__)


class PaddedEngine:
    """Fills runs up; an `Engine`.

    Args:
        engine: computes them.
        size: the rows that a run of so many is filled up to; the same number for none.
    """

    def __init__(self, engine: Engine, *, size: Callable[[int], int]) -> None:
        self._engine = engine
        self._size = size
        self._is_broken = False
        self.at_once = engine.at_once

    @property
    def ahead(self) -> int:
        """See `Engine`."""
        return self._engine.ahead

    @property
    def deaths(self) -> int:
        """See `Engine`."""
        return self._engine.deaths

    @property
    def is_up(self) -> bool:
        """See `Engine`."""
        return self._engine.is_up

    @property
    def pid(self) -> int | None:
        """See `Engine`."""
        return self._engine.pid

    @property
    def watch(self) -> Watch:
        """See `Engine`."""
        return self._engine.watch

    @watch.setter
    def watch(self, watch: Watch) -> None:
        self._engine.watch = watch

    def start(self, feeds: Mapping[str, Pieces], outputs: Sequence[str]) -> asyncio.Future[Run]:
        """Begin a run; see `Engine`."""
        rows = None if self._is_broken else _rows(feeds)
        size = self._size(rows) if rows else rows
        if rows is None or size is None or size <= rows:
            return self._engine.start(feeds, outputs)
        answer: asyncio.Future[Run] = asyncio.get_running_loop().create_future()

        def settle(run: asyncio.Future[Run]) -> None:
            if answer.done():
                return
            if run.cancelled():
                answer.cancel()
            elif (error := run.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(run.result())

        def follow(run: asyncio.Future[Run], then: Callable[[asyncio.Future[Run]], None]) -> None:
            answer.add_done_callback(lambda _: run.cancel() if answer.cancelled() else None)
            run.add_done_callback(then)

        def cut(run: asyncio.Future[Run]) -> None:
            if answer.done() or run.cancelled() or run.exception() is not None:
                settle(run)
                return
            given = run.result()
            wrong = [name for name, array in given.outputs.items() if array.shape[:1] != (size,)]
            if wrong:
                self._is_broken = True
                _log.error("no more runs are filled up", rows=size, outputs=wrong)
                follow(self._engine.start(feeds, outputs), settle)
                return
            computed = {name: array[:rows] for name, array in given.outputs.items()}
            answer.set_result(Run(computed, given.begun_ns, given.ended_ns))

        follow(self._engine.start(_filled(feeds, size - rows), outputs), cut)
        return answer

    async def close(self) -> None:
        """See `Engine`."""
        await self._engine.close()


def _rows(feeds: Mapping[str, Pieces]) -> int | None:
    """The rows of a run; None where its inputs have not one number of them, or strings."""
    found = set()
    for pieces in feeds.values():
        if any(not piece.ndim or piece.dtype == object for piece in pieces):
            return None
        found.add(sum(len(piece) for piece in pieces))
    return found.pop() if len(found) == 1 else None


def _filled(feeds: Mapping[str, Pieces], count: int) -> dict[str, Pieces]:
    filled: dict[str, Pieces] = {}
    for name, pieces in feeds.items():
        last = [piece for piece in pieces if len(piece)][-1][-1:]
        filled[name] = [*pieces, np.repeat(last, count, axis=0)]
    return filled
