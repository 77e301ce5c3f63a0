"""The parts of the service, put together, started and stopped. No transport: those are given it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from service.admin import AdminGuard
from service.consistency import Cache, Canary, Examiner
from service.control import ModelControl
from service.dataplane import DataPlane
from service.loading import Loader, check_repository
from service.registry import Registry
from service.runner import RunPool
from service.settings import Settings

__all__ = ["Service"]


class Service:
    """Registry, loader, runners, examiner, canary and data plane of one process.

    As an asynchronous context it loads the repository in the background: entering returns at once,
    and the data plane tells when all is loaded.

    Attributes:
        registry: what is served, and in which state.
        plane: what the transports ask.
        pool: what runs the models.
        examiner: what establishes their consistency.
        guard: who may ask for operations.
        control: loads and unloads models while the service answers.
    """

    def __init__(self, settings: Settings) -> None:
        self.pool = RunPool(
            threads=settings.concurrent_runs, max_waiting=settings.max_waiting_requests
        )
        self._repository = settings.repository
        self.registry = Registry()
        self.examiner = Examiner(
            cache=Cache(settings.consistency_cache or settings.repository),
            at_load=settings.consistency_at_load,
            timeout_s=settings.consistency_timeout_s,
        )
        self._canary = Canary(
            fraction=settings.canary_fraction,
            max_waiting=settings.canary_max_waiting,
            max_bytes=settings.canary_max_bytes,
        )
        self._loader = Loader(
            policy=settings.provider,
            threads=settings.threads,
            pool=self.pool,
            examiner=self.examiner,
            at_once=settings.concurrent_runs,
        )
        self.guard = AdminGuard(host=settings.host)
        self.control = ModelControl(
            repository=settings.repository,
            registry=self.registry,
            loader=self._loader,
            examiner=self.examiner,
            guard=self.guard,
            is_open=settings.model_control != "none",
            drain_s=settings.shutdown_grace_s,
        )
        self.plane = DataPlane(
            self.registry, strict_readiness=settings.strict_readiness, canary=self._canary
        )
        self._loading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to load the repository.

        Raises:
            RepositoryMissing: it cannot be read.
        """
        check_repository(self._repository)
        self._loading = asyncio.create_task(self._load())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take no more work; what has begun ends by itself."""
        self._loader.close()
        self.pool.close()
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
        await asyncio.gather(
            asyncio.to_thread(self.examiner.close), asyncio.to_thread(self._canary.close)
        )

    async def _load(self) -> None:
        await self._loader.load_repository(self._repository, self.registry)
        self.plane.mark_loaded()
