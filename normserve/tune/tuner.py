"""The tuning of one model, from what is known of it to the evidence. Writes no files.

Each stage varies one thing about the best way so far: the rows of a run, how the cores are shared,
how the session is set up.
"""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from bundle import BundleError, SessionTuning, resolve
from bundle.checks.device import device_of, runtime
from normserve.tune.candidates import batch_sizes, sessions, shares, thread_counts
from normserve.tune.errors import Refused, Untunable
from normserve.tune.evidence import Comparison, Evidence, Run
from normserve.tune.judge import Judge
from normserve.tune.model import TunedModel
from normserve.tune.search import RULE, Clock
from normserve.tune.setting import Setting
from normserve.tune.stages import Stages
from normserve.tune.stand import Objective, Stands
from service.consistency import Consistency, Placement
from service.consistency.examine import Examine
from service.consistency.pace import Pace
from service.consistency.report import Report
from service.engine import Workshop
from service.machine import normserve_version

__all__ = ["Tuner"]

_OF_ROWS: Final = 0.25
_OF_SHARES: Final = 0.5
_OF_SESSIONS: Final = 0.65
"""Of the time that is left when a stage begins; what is left after the last one is for the end."""


class Tuner:
    """Tunes one model, once.

    Args:
        model: as it is now.
        workshop: opens it.
        objective: what is wanted.
        budget_s: seconds that it should take: when they are over, nothing new is begun.
        say: is told what is done.
        clock: seconds, rising.
    """

    def __init__(
        self,
        model: TunedModel,
        workshop: Workshop,
        *,
        objective: Objective,
        budget_s: float,
        say: Callable[[str], None],
        clock: Clock = time.perf_counter,
    ) -> None:
        self._model = model
        self._workshop = workshop
        self._objective = objective
        self._budget_s = budget_s
        self._say = say
        self._clock = clock
        self._begun = clock()
        self._known: dict[tuple[int, SessionTuning], tuple[Consistency, Report]] = {}

    async def run(self) -> Evidence:
        """Find the best way.

        Raises:
            BundleError: the model cannot be read or run as it is now.
            Untunable: it does not answer right as it is now, or nobody knows what is right.
        """
        model, load = self._model, os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        known, report = self._establish(model.present(rows=1))
        judge = Judge.of(known.source, report)
        present = model.present(rows=known.batching.rows)
        stands = Stands(
            model,
            judge,
            self._workshop,
            objective=self._objective,
            say=self._say,
            clock=self._clock,
        )
        try:
            try:
                provider = (await stands.require(present)).provider
            except Refused as err:
                raise Untunable(f"the model does not run right as it is now: {err}") from err
            stages = Stages(
                present,
                stands,
                objection=self._objection,
                end=self._begun + self._budget_s,
                clock=self._clock,
            )
            paces = [pace for pace in report.paces if pace.rows <= known.batching.most]
            gain = await self._find(stages, paces, provider=provider)
        finally:
            await stands.keep()
        return Evidence(
            model=model.folder.name,
            version=model.folder.version,
            model_sha256=known.source.model_sha256,
            created=datetime.now(UTC),
            normserve=normserve_version(),
            runtime=runtime(),
            provider=provider,
            device=device_of(provider),
            cores=model.limits.cores,
            load=load,
            objective=self._objective,
            budget_s=self._budget_s,
            seconds=round(self._clock() - self._begun, 1),
            batching=known.batching.reason,
            rule=RULE,
            present=Run.of(present),
            chosen=Run.of(stages.best if gain is not None else present),
            gain=gain,
            comparisons=tuple(stages.comparisons),
            trials=tuple(stages.trials),
        )

    async def _find(
        self, stages: Stages, paces: Sequence[Pace], *, provider: str
    ) -> Comparison | None:
        limits = self._model.limits
        if self._objective == "throughput":
            sizes = batch_sizes(stages.best, paces)
            await stages.run("rows of a run", sizes, share=_OF_ROWS)
            most = max((pace.rows for pace in paces), default=1)
            ways = shares(stages.best, limits, most_rows=most)
        else:
            ways = thread_counts(stages.best, limits)
        await stages.run("shares of the cores", ways, share=_OF_SHARES)
        ways = sessions(stages.best, limits, provider=provider)
        await stages.run("the session", ways, share=_OF_SESSIONS)
        return await stages.gain()

    def _objection(self, way: Setting) -> str:
        """Why requests may not share runs as a way wants it; empty if they may."""
        if way.rows == 1:
            return ""
        try:
            batching = self._establish(way)[0].batching
        except BundleError as err:
            return str(err)
        if way.rows <= batching.most:
            return ""
        return f"{way.rows} rows may not share a run: {batching.reason}"

    def _establish(self, setting: Setting) -> tuple[Consistency, Report]:
        """What a server would establish of the model in such a session."""
        session = setting.threads, setting.tuning
        if session not in self._known:
            self._say(f"may requests share runs: {setting}")
            source = self._model.source(setting)
            provider = resolve(source.policy)[0][0]
            known = Consistency(
                source,
                placement=Placement(provider=provider),
                wanted_rows=self._model.options.rows,
                max_rows=self._model.most_rows,
            )
            report = Examine(source=source, key=known.key, thorough=False)()
            known.finish(report)
            self._known[session] = known, report
        return self._known[session]
