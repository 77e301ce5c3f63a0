"""The parts of the service, put together, started and stopped. No transport: those are given it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from service.batching import Batchers, Plan
from service.budget import Budget
from service.consistency import Cache, Canary, Examiner
from service.control import ModelControl
from service.dataplane import DataPlane
from service.engine import ProcessWorkshop, ThreadWorkshop, Workshop, Zygote
from service.guard import Guard
from service.loading import Loader
from service.log_settings import LogControl, LogSettings
from service.metrics import Traffic, metrics_of
from service.registry import Registry
from service.repository import Uploads, VersionPolicy, open_repository
from service.rollout import Rollout
from service.settings import Settings
from service.shared_memory import Regions
from service.tracing import Tracing
from service.watch import RepositoryWatch

__all__ = ["Service"]


class Service:
    """Registry, loader, runners, examiner, canary and data plane of one process.

    As an asynchronous context it loads the repository in the background: entering returns at once,
    and the data plane tells when all is loaded.

    Args:
        settings: of it.
        tracing: of its requests; what the settings say if left out.
        logs: what is logged, where the log is this service's.
        zygote: what the models' processes are forked from; without one they run on threads.

    Attributes:
        budget: the cores, shared among runs.
        registry: what is served, and in which state.
        plane: what the transports ask.
        workshop: what runs the models.
        traffic: counts what the transports answer.
        metrics: all numbers for Prometheus.
        examiner: what establishes their consistency.
        tracing: traces of what the transports answer.
        guard: who may do what.
        control: loads and unloads models while the service answers.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tracing: Tracing | None = None,
        logs: LogControl | None = None,
        zygote: Zygote | None = None,
    ) -> None:
        self.budget = Budget.of(settings)
        self.workshop = _workshop(settings, zygote, self.budget)
        default = VersionPolicy.of_setting(settings.version_policy)
        self._repository = open_repository(
            settings.repository,
            default=default,
            cache=settings.repository_cache,
            max_bytes=settings.repository_max_bytes,
        )
        self.registry = Registry()
        self.traffic = Traffic()
        self.tracing = tracing or Tracing.to(settings.otel_endpoint, ratio=settings.trace_ratio)
        self._grace_s = settings.shutdown_grace_s
        self.metrics = metrics_of(self.registry, self.traffic, budget=self.budget)
        self.examiner = Examiner(
            cache=Cache(settings.consistency_cache or self._repository.folder),
            at_load=settings.consistency_at_load,
            timeout_s=settings.consistency_timeout_s,
        )
        self._canary = Canary(
            fraction=settings.canary_fraction,
            max_waiting=settings.canary_max_waiting,
            max_bytes=settings.canary_max_bytes,
        )
        self._loader = Loader(
            policy=settings.policy,
            budget=self.budget,
            workshop=self.workshop,
            batchers=Batchers(
                budget=self.budget,
                max_waiting=settings.max_waiting_requests,
                max_waiting_bytes=settings.max_waiting_bytes,
                max_rows=settings.max_batch_rows,
                plan=Plan(delay_s=settings.batch_delay_us / 1e6),
            ),
            examiner=self.examiner,
            at_once=self.budget.cores.whole,
        )
        self.guard = Guard.of(settings)
        self.control = ModelControl(
            repository=self._repository,
            uploads=Uploads(default=default),
            rollout=Rollout(
                registry=self.registry,
                loader=self._loader,
                examiner=self.examiner,
                canary=self._canary,
                drain_s=settings.shutdown_grace_s,
            ),
            is_open=settings.model_control != "none",
        )
        self._watch = RepositoryWatch(self._repository, refresh=self.control.refresh)
        self._poll_s = settings.poll_seconds if settings.model_control == "poll" else None
        self.plane = DataPlane(
            self.registry,
            strict_readiness=settings.strict_readiness,
            canary=self._canary,
            provenance=settings.provenance,
            regions=Regions(
                is_open=settings.client_shared_memory,
                max_request_bytes=settings.max_request_bytes,
            ),
            traces=self.tracing.settings,
            logs=logs or LogControl(LogSettings.from_level(settings.log_level)),
        )
        self._loading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to load the repository.

        Raises:
            RepositoryMissing: it cannot be read.
            SettingsInvalid: a setting needs a package that is not installed.
        """
        await asyncio.to_thread(self._repository.check)
        self.budget.log()
        try:
            self.tracing.start()
        except BaseException:
            self._repository.close()
            raise
        self._loading = asyncio.create_task(self._load())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take no more work; what has begun ends by itself."""
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
        await self.control.close()
        self._loader.close()
        models = [entry.model for entry in self.registry.entries() if entry.model is not None]
        await asyncio.gather(*(model.runner.close() for model in models))
        await asyncio.gather(
            asyncio.to_thread(self.workshop.close),
            asyncio.to_thread(self.examiner.close),
            asyncio.to_thread(self._canary.close),
            self.tracing.stop(grace_s=self._grace_s),
        )

    async def _load(self) -> None:
        await self._watch.load_all()
        self.plane.mark_loaded()
        if self._poll_s is not None:
            await self._watch.follow(every_s=self._poll_s)


def _workshop(settings: Settings, zygote: Zygote | None, budget: Budget) -> Workshop:
    if zygote is None:
        return ThreadWorkshop(at_once=budget.runs, spinning=budget.spinning)
    return ProcessWorkshop(
        zygote,
        at_once=budget.runs,
        load_timeout_s=settings.load_timeout_s,
        run_timeout_s=settings.run_timeout_s,
        load_bytes=settings.load_memory_bytes,
        spinning=budget.spinning,
    )
