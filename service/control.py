"""Changes of what is served, one after the other. Decides not what is to be loaded, nor how.

Changes of one model follow one another in the order in which they were asked for, so that the last
one wins. A change that has begun ends, also where whoever asked for it has gone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import structlog

from service.errors import LoadFailed, ModelUnknown, OperationForbidden, excerpt
from service.repository import NOTHING_GIVEN, GivenModel, ModelPlan, Repository, Uploads
from service.rollout import Rollout

__all__ = ["ModelControl"]

_AT_ONCE: Final = 4
"""Models whose folders are looked at, or fetched, at the same time."""

_T = TypeVar("_T")

_log = structlog.stdlib.get_logger(__name__)


class ModelControl:
    """What may be changed about the models.

    Args:
        repository: what models are loaded from.
        uploads: keeps models that clients gave.
        rollout: loads and unloads them.
        is_open: whether clients may change models at all.
    """

    def __init__(
        self, *, repository: Repository, uploads: Uploads, rollout: Rollout, is_open: bool
    ) -> None:
        self._repository = repository
        self._uploads = uploads
        self._rollout = rollout
        self._is_open = is_open
        self._executor = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="repository")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._changes: set[asyncio.Task[None]] = set()

    async def load(self, name: str, given: GivenModel = NOTHING_GIVEN) -> None:
        """Load what should be served of a model now; unload what should not be any more.

        A version that answers goes on answering until its replacement does. One whose replacement
        fails stays, and the index says why.

        Args:
            name: of the model.
            given: what is loaded instead of what the repository has.

        Raises:
            OperationForbidden: it may not be asked for.
            ModelUnknown: the repository has no such model.
            ParameterInvalid: what was given cannot be loaded.
            LoadFailed: a version could not be loaded; the others were.
        """
        self._require_open()
        await self._change(name, lambda: self._load(name, given))

    async def unload(self, name: str) -> None:
        """Take a model out of service, once its requests have finished; none is no error.

        Raises:
            OperationForbidden: it may not be asked for.
        """
        self._require_open()
        await self._change(
            name, lambda: self._rollout.withdraw(name, forget=self._uploads.has(name))
        )

    async def refresh(self, name: str) -> None:
        """Load what has changed of a model in the repository; unload one that is gone from there.

        What fails is in the index and the log, and tried again once it has changed.
        """
        await self._change(name, lambda: self._refresh(name))

    async def close(self) -> None:
        """Give up the changes that have begun, and remove what clients gave."""
        for change in self._changes:
            change.cancel()
        await asyncio.gather(*self._changes, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._uploads.close()
        self._repository.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise OperationForbidden(
                "models cannot be loaded or unloaded: the service runs with model control 'none'"
            )

    async def _change(self, name: str, change: Callable[[], Awaitable[None]]) -> None:
        """Make a change once those before it have ended, whether or not anybody waits for it."""
        task = asyncio.create_task(self._in_turn(name, change))
        self._changes.add(task)
        task.add_done_callback(self._finish)
        await asyncio.shield(task)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has it, or has gone

    async def _in_turn(self, name: str, change: Callable[[], Awaitable[None]]) -> None:
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            try:
                await change()
            finally:
                await self._tidy(name)

    async def _load(self, name: str, given: GivenModel) -> None:
        plan = await self._plan(name, given)
        if plan is None:
            raise ModelUnknown(f"the repository has no model {excerpt(name)}")
        reasons = await self._rollout.carry_out(plan, anew=True)
        if reasons:
            raise LoadFailed("; ".join(reasons))

    async def _refresh(self, name: str) -> None:
        try:
            plan = await self._plan(name, NOTHING_GIVEN)
        except LoadFailed as err:
            _log.warning("model not looked at", model=name, reason=str(err))
            return
        if plan is not None:
            await self._rollout.carry_out(plan, anew=False)
        elif not self._uploads.has(name):
            await self._rollout.withdraw(name, forget=True)

    async def _plan(self, name: str, given: GivenModel) -> ModelPlan | None:
        try:
            if given.files:
                return await self._blocking(lambda: self._uploads.plan(name, given))
            return await self._blocking(lambda: self._repository.plan(name, config=given.config))
        except OSError as err:
            reason = err.strerror or str(err)
            raise LoadFailed(f"model {excerpt(name)} cannot be read: {reason}") from err

    async def _tidy(self, name: str) -> None:
        """Let go of the files that nothing answers from."""
        answering = self._rollout.answering(name)
        folders = frozenset(model.consistency.source.folder for model in answering.values())
        await self._blocking(lambda: self._uploads.release(name, keep=folders))
        await self._blocking(lambda: self._repository.release(name, keep=frozenset(answering)))

    async def _blocking(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
