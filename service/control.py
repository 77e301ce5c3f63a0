"""Loads, replaces and removes models while the service answers. Computes nothing itself.

A replacement is loaded and verified beside the version that answers, and takes its place at once;
requests that have begun keep the one they began with. Changes of one model follow one another.
"""

import asyncio
import contextlib
from collections import defaultdict
from pathlib import Path

import structlog

from bundle import VersionFolder, find_versions
from service.admin import AdminGuard
from service.consistency import Examiner
from service.errors import LoadFailed, ModelNotReady, ModelUnknown, OperationForbidden, excerpt
from service.loading import Loader
from service.registry import Registry, ServedModel, State, VersionEntry

__all__ = ["ModelControl"]

_log = structlog.stdlib.get_logger(__name__)


class ModelControl:
    """What clients may change about the models.

    Args:
        repository: where models are loaded from.
        registry: what is served.
        loader: loads a version.
        examiner: establishes the consistency of a version.
        guard: decides who may.
        is_open: whether models may be changed at all.
        drain_s: that requests of a model have to finish in when it is unloaded.
    """

    def __init__(
        self,
        *,
        repository: Path,
        registry: Registry,
        loader: Loader,
        examiner: Examiner,
        guard: AdminGuard,
        is_open: bool,
        drain_s: float,
    ) -> None:
        self._repository = repository
        self._registry = registry
        self._loader = loader
        self._examiner = examiner
        self._guard = guard
        self._is_open = is_open
        self._drain_s = drain_s
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, name: str) -> None:
        """Load every version of a model that the repository has now; unload those it has no more.

        A version that answers goes on answering until its replacement does. One whose replacement
        fails stays, and the index says why.

        Raises:
            OperationForbidden: it may not be asked for.
            ModelUnknown: the repository has no such model.
            ModelNotReady: it is still being loaded at the start.
            LoadFailed: a version could not be loaded; the others were.
        """
        self._require_open()
        async with self._changing[name]:
            if any(entry.state is State.LOADING for entry in self._entries(name)):
                raise ModelNotReady(f"model {excerpt(name)} is still being loaded at the start")
            folders = await self._folders(name)
            if not folders:
                raise ModelUnknown(f"the repository has no model {excerpt(name)}")
            there = {folder.version for folder in folders}
            gone = {entry.version for entry in self._entries(name)} - there
            failures = [reason for folder in folders if (reason := await self._load(folder))]
            for version in sorted(gone):
                if version in self._answering(name):
                    await self._unload(name, version)
                self._registry.remove(name, version)
            if failures:
                raise LoadFailed("; ".join(failures))

    async def unload(self, name: str) -> None:
        """Take a model out of service, once its requests have finished; none is no error.

        Raises:
            OperationForbidden: it may not be asked for.
        """
        self._require_open()
        async with self._changing[name]:
            await asyncio.gather(
                *(self._unload(name, version) for version in self._answering(name))
            )

    def _require_open(self) -> None:
        self._guard.require()
        if not self._is_open:
            raise OperationForbidden(
                "models cannot be loaded or unloaded: the service runs with model control 'none'"
            )

    async def _folders(self, name: str) -> list[VersionFolder]:
        found = await asyncio.to_thread(find_versions, self._repository)
        return [folder for folder in found if folder.name == name]

    def _answering(self, name: str) -> dict[int, ServedModel]:
        return {
            entry.version: entry.model
            for entry in self._entries(name)
            if entry.state is State.READY and entry.model is not None
        }

    def _entries(self, name: str) -> tuple[VersionEntry, ...]:
        try:
            return self._registry.versions(name)
        except ModelUnknown:
            return ()

    async def _load(self, folder: VersionFolder) -> str:
        """Load or replace a version; why it could not be, or nothing."""
        log = _log.bind(model=folder.name, version=folder.version)
        before = self._answering(folder.name).get(folder.version)
        if before is None:
            self._registry.begin_loading(folder.name, folder.version)
        try:
            model = await self._loader.load_beside(folder)
        except LoadFailed as err:
            if before is None:
                self._registry.fail_loading(folder.name, folder.version, reason=str(err))
            else:
                self._registry.keep(
                    folder.name, folder.version, reason=f"a replacement failed: {err}"
                )
            log.warning("model not loaded", reason=str(err), replaces=before is not None)
            return f"version {folder.version}: {err}"
        self._examiner.recall(model.consistency)
        if before is None:
            self._registry.finish_loading(model)
        else:
            self._registry.replace(model)
            self._examiner.forget(before.consistency)
        self._examiner.establish(model.consistency)
        log.info("model ready", replaces=before is not None)
        return ""

    async def _unload(self, name: str, version: int) -> None:
        model = self._registry.begin_unloading(name, version)
        self._examiner.forget(model.consistency)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(model.recorder.wait_until_idle(), self._drain_s)
        self._registry.finish_unloading(name, version)
        unfinished = model.recorder.pending
        _log.info("model unloaded", model=name, version=version, unfinished=unfinished)
