"""Looks at the repository: once at start, and again and again where that is wanted.

Loads nothing itself: it says which models are to be looked at. A change is one only once two looks
in a row have seen the same, so that a folder that is still being copied is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from service.repository import Repository, Stamp

__all__ = ["RepositoryWatch"]

_RETRY_S = 5.0
"""Seconds until a repository that could not be read at the start is tried again."""

_log = structlog.stdlib.get_logger(__name__)


class RepositoryWatch:
    """Keeps what is served in step with a repository.

    Args:
        repository: that is looked at.
        refresh: has a model looked at that has changed, is new, or has gone.
    """

    def __init__(
        self, repository: Repository, *, refresh: Callable[[str], Awaitable[None]]
    ) -> None:
        self._repository = repository
        self._refresh = refresh
        self._served: Mapping[str, Stamp] = {}
        self._seen: Mapping[str, Stamp] = {}
        self._trouble = ""

    async def load_all(self) -> None:
        """Have every model looked at; return when that is done."""
        while (found := await self._look()) is None:  # noqa: ASYNC110  # a folder has no event
            await asyncio.sleep(_RETRY_S)
        self._served = self._seen = found
        await self._refresh_all(found)

    async def follow(self, *, every_s: float) -> None:
        """Have models looked at when they change, until this is cancelled.

        One that takes long to load keeps no other from being looked at.
        """
        async with asyncio.TaskGroup() as refreshes:
            while True:
                await asyncio.sleep(every_s)
                if settled := await self._settled():
                    refreshes.create_task(self._refresh_all(settled))

    async def look_once(self) -> None:
        """Have those models looked at that have changed, and are as they were at the last look."""
        await self._refresh_all(await self._settled())

    async def _settled(self) -> list[str]:
        found = await self._look()
        if found is None:
            return []
        names = found.keys() | self._served.keys()
        settled = [
            name
            for name in names
            if found.get(name) == self._seen.get(name) != self._served.get(name)
        ]
        self._seen = found
        changed = {name: found[name] for name in settled if name in found}
        kept = {name: stamp for name, stamp in self._served.items() if name not in settled}
        self._served = kept | changed
        return settled

    async def _refresh_all(self, names: Iterable[str]) -> None:
        refreshed = await asyncio.gather(*map(self._refresh, names), return_exceptions=True)
        for result in refreshed:
            if isinstance(result, Exception):
                # The edge of a task that nobody waits for: a bug costs this look, and says so.
                _log.error("model not looked at", exc_info=result)

    async def _look(self) -> Mapping[str, Stamp] | None:
        try:
            found = await asyncio.to_thread(self._repository.stamps)
        except OSError as err:
            reason = str(err)
            if reason != self._trouble:
                _log.warning("repository not readable", reason=reason)
            self._trouble = reason
            return None
        if self._trouble:
            _log.info("repository readable again")
        self._trouble = ""
        return found
