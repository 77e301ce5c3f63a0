"""The model that is tuned, as its folder and the server's settings have it now. Changes nothing."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from bundle import MODEL, ProviderPolicy, SessionTuning, VersionFolder
from bundle.checks import Subject
from normserve.tune.errors import Untunable
from normserve.tune.setting import Setting
from service.budget import Budget
from service.consistency import Source
from service.consistency.source import manifest_sha256
from service.errors import LoadFailed
from service.model_options import ModelOptions, read_options
from service.repository import VersionPolicy, make_plan

__all__ = ["Limits", "TunedModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server gives a model.

    Attributes:
        policy: where models run.
        budget: of their runs.
        max_rows: of a run that requests share.
    """

    policy: ProviderPolicy
    budget: Budget
    max_rows: int

    @property
    def cores(self) -> int:
        """Threads that may compute at the same time."""
        return self.budget.cores.whole

    def instances_of(self, threads: int, tuning: SessionTuning) -> int:
        """Runs of so many threads for each branch that the cores have room for; at least 1."""
        busy = threads * tuning.inter_op_threads
        return min(self.budget.runs_of(busy), max(1, self.cores // busy))


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """A version of a model, and the configuration of all of them.

    Attributes:
        folder: of the version.
        config: of the model, as a ``ModelConfig`` message; None where there is none.
        options: what it asks for.
        limits: what the server gives it.
    """

    folder: VersionFolder
    config: Any | None
    options: ModelOptions
    limits: Limits

    @classmethod
    def of(cls, repository: Path, name: str, *, default: VersionPolicy, limits: Limits) -> Self:
        """The highest version of a model that a server would serve.

        Raises:
            Untunable: there is none, or its configuration cannot be read.
        """
        try:
            plan = make_plan(repository / name, default=default)
        except OSError as err:
            raise Untunable(f"'{repository / name}' cannot be read: {err.strerror}.") from err
        if plan is None or not plan.wanted:
            raise Untunable(
                f"'{repository}' has no model '{name}'; wanted a folder"
                f" {name}/<version>/{MODEL} in it."
            )
        version = plan.wanted[max(plan.wanted)]
        if version.problem:
            raise Untunable(f"the model '{name}' cannot be served as it is: {version.problem}.")
        try:
            options = read_options(version.config, name=name)
        except LoadFailed as err:
            raise Untunable(f"the model '{name}' cannot be served as it is: {err}.") from err
        return cls(folder=version.folder, config=version.config, options=options, limits=limits)

    @property
    def file(self) -> Path:
        """The ONNX file."""
        return self.folder.path / MODEL

    @property
    def policy(self) -> ProviderPolicy:
        """Where it runs."""
        return self.options.policy(self.limits.policy)

    @property
    def most_rows(self) -> int:
        """Of a run that requests share."""
        return min(self.limits.max_rows, self.options.max_batch_size or self.limits.max_rows)

    def present(self, *, rows: int) -> Setting:
        """How a server runs it now.

        Args:
            rows: that it would let requests share.
        """
        options, budget = self.options, self.limits.budget
        threads = budget.threads_of(options.threads)
        branches = options.tuning.inter_op_threads or budget.cores.whole
        most = budget.runs_of(threads * branches)
        return Setting(
            threads=threads,
            instances=min(options.instances or most, most),
            rows=rows,
            tuning=replace(options.tuning, inter_op_threads=branches),
        )

    def source(self, setting: Setting | None = None) -> Source:
        """Its files and how they are opened, as the service has them.

        Args:
            setting: how; as it is now if left out.

        Raises:
            BundleError: they cannot be read.
        """
        path = self.folder.path.resolve()
        now = self.present(rows=1)
        source = Source(
            name=self.folder.name,
            version=self.folder.version,
            folder=path,
            manifest_sha256=manifest_sha256(path),
            policy=self.policy,
            threads=now.threads,
            tuning=now.tuning,
            model_sha256=Subject(model=path / MODEL).sha256(),
        )
        if setting is None:
            return source
        return replace(source, threads=setting.threads, tuning=setting.tuning)
