"""Makes what is served of a model what a plan says. Decides not who asks for it, nor what to plan.

A new version is loaded and verified beside the one that answers, and takes its place at once;
requests that have begun keep the one they began with. What answers goes on answering until
something can take its place. One change of a model at a time: whoever calls sees to that.
"""

import asyncio
import contextlib
from collections.abc import Hashable
from functools import partial

import structlog

from service.consistency import Canary, Examiner
from service.engine import Watch
from service.errors import LoadFailed, ModelUnknown
from service.loading import Loader
from service.registry import Registry, ServedModel, State, VersionEntry
from service.repository import ModelPlan, PlannedVersion

__all__ = ["Rollout"]

_log = structlog.stdlib.get_logger(__name__)


class Rollout:
    """Loads, replaces and unloads the versions of models.

    Args:
        registry: what is served.
        loader: loads a version.
        examiner: establishes the consistency of a version.
        canary: compares some of its answers.
        drain_s: that requests of a version have to finish in when it is unloaded.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        loader: Loader,
        examiner: Examiner,
        canary: Canary,
        drain_s: float,
    ) -> None:
        self._registry = registry
        self._loader = loader
        self._examiner = examiner
        self._canary = canary
        self._drain_s = drain_s
        self._tried: dict[tuple[str, int], Hashable] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def carry_out(self, plan: ModelPlan, *, anew: bool) -> tuple[str, ...]:
        """Load the versions that a plan wants; then unload those that it does not want.

        A version that is not wanted any more stays while what is wanted cannot answer: one that the
        repository still has until all of it can, one that is gone until any of it can.

        Args:
            plan: of the model.
            anew: also load what was loaded already and has not changed since, or has failed.

        Returns:
            Why versions could not be loaded.
        """
        due = [each for each in plan.wanted.values() if anew or self._has_changed(each)]
        before = self.answering(plan.name)
        for version in due:
            if version.folder.version not in before:
                self._let_go(plan.name, version.folder.version)
                self._registry.begin_loading(plan.name, version.folder.version)
        reasons = await asyncio.gather(
            *(self._load(version, before.get(version.folder.version)) for version in due)
        )
        await self._retire(plan)
        return tuple(filter(None, reasons))

    async def withdraw(self, name: str, *, forget: bool = False) -> None:
        """Unload every version of a model.

        Args:
            name: of the model; one that nobody knows is no error.
            forget: keep nothing of it: it is not in the repository any more.
        """
        versions = [entry.version for entry in self._entries(name)]
        await asyncio.gather(*(self._unload(name, v) for v in self.answering(name)))
        for version in versions:
            if forget:
                self._forget(name, version)
            else:
                self._let_go(name, version)
                self._registry.dismiss(name, version)

    def answering(self, name: str) -> dict[int, ServedModel]:
        """The versions of a model that answer, by number."""
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

    def _has_changed(self, version: PlannedVersion) -> bool:
        folder = version.folder
        return self._tried.get((folder.name, folder.version)) != version.stamp

    async def _load(self, version: PlannedVersion, before: ServedModel | None) -> str:
        """Load a version, or replace what answered for it; why it could not be, or nothing."""
        folder = version.folder
        log = _log.bind(model=folder.name, version=folder.version)
        self._tried[folder.name, folder.version] = version.stamp
        try:
            model = await self._loader.load_beside(version)
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
            self._registry.finish_loading(model, reason=version.remark)
        else:
            self._registry.replace(model, reason=version.remark)
            self._release(before)
        model.runner.watch = Watch(
            down=partial(self._registry.suspend, model), up=partial(self._registry.resume, model)
        )
        self._examiner.establish(model.consistency)
        log.info(
            "model ready",
            provider=model.properties["provider"],
            nodes=dict(model.consistency.placement.nodes),
            replaces=before is not None,
            **({"remark": version.remark} if version.remark else {}),
        )
        return ""

    async def _retire(self, plan: ModelPlan) -> None:
        """Unload the versions that a plan does not want, as far as what it wants can answer."""
        ready = self.answering(plan.name).keys()
        missing = sorted(plan.wanted.keys() - ready)
        for entry in self._entries(plan.name):
            if entry.version in plan.wanted:
                continue
            is_superseded = entry.version in plan.there
            may_go = not missing if is_superseded else bool(ready & plan.wanted.keys())
            if entry.state is State.READY and not may_go:
                reason = f"it stays until version {', '.join(map(str, missing))} can answer"
                self._registry.keep(plan.name, entry.version, reason=reason)
                continue
            if entry.state is State.READY:
                await self._unload(plan.name, entry.version)
            self._forget(plan.name, entry.version)

    async def _unload(self, name: str, version: int) -> None:
        model = self._registry.begin_unloading(name, version)
        await self._drain(model)
        self._registry.finish_unloading(name, version)
        unfinished = model.recorder.pending
        self._release(model)
        _log.info("model unloaded", model=name, version=version, unfinished=unfinished)

    def _release(self, model: ServedModel) -> None:
        """A model has nothing more to do, once those have their answers who have asked already."""
        self._examiner.forget(model.consistency)
        self._canary.forget(model.consistency)
        closing = asyncio.create_task(self._close(model))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, model: ServedModel) -> None:
        await self._drain(model)
        await model.runner.close()

    async def _drain(self, model: ServedModel) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(model.recorder.wait_until_idle(), self._drain_s)

    def _let_go(self, name: str, version: int) -> None:
        """A version that is suspended need not come back."""
        for entry in self._entries(name):
            if entry.version == version and entry.state is State.UNAVAILABLE and entry.model:
                self._release(entry.model)

    def _forget(self, name: str, version: int) -> None:
        self._let_go(name, version)
        self._registry.remove(name, version)
        self._tried.pop((name, version), None)
