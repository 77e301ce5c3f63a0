"""The tuning of one model, stage by stage, within its time. Writes no files.

Each stage varies one thing about the best way so far: the rows of a run, how the cores are shared,
how the session is set up. What wins a stage replaces the way before it only if it is better beyond
noise (`search.RULE`), and in the end the whole way must be, against the present one.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from bundle import BundleError, SessionTuning, resolve
from bundle.checks.device import device_of, runtime
from normserve.tune.candidates import batch_sizes, sessions, shares, thread_counts
from normserve.tune.errors import Refused, Untunable
from normserve.tune.evidence import Comparison, Evidence, Run, Trial
from normserve.tune.judge import Judge
from normserve.tune.model import TunedModel
from normserve.tune.search import RULE, Rated, duel, knock_out
from normserve.tune.setting import Setting
from normserve.tune.stand import Clock, Objective, Stands
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
_TO_DECIDE: Final = 0.4
"""Of a stage, for its best against what that would replace."""


@dataclass(slots=True)
class _Found:
    """What was found out so far; ``best`` is ``present`` until something is better beyond noise."""

    present: Setting
    best: Setting
    trials: list[Trial] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)


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
            found = _Found(present, present)
            paces = [pace for pace in report.paces if pace.rows <= known.batching.most]
            await self._stages(found, paces, stands, provider)
            gain = await self._gain(found, stands)
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
            chosen=Run.of(found.best if gain is not None else present),
            gain=gain,
            comparisons=tuple(found.comparisons),
            trials=tuple(found.trials),
        )

    @property
    def _left_s(self) -> float:
        return max(0.0, self._begun + self._budget_s - self._clock())

    async def _stages(
        self, found: _Found, paces: Sequence[Pace], stands: Stands, provider: str
    ) -> None:
        limits = self._model.limits
        if self._objective == "throughput":
            sizes = batch_sizes(found.best, paces)
            await self._stage("rows of a run", sizes, _OF_ROWS, found, stands)
            most = max((pace.rows for pace in paces), default=1)
            ways = shares(found.best, limits, most_rows=most)
        else:
            ways = thread_counts(found.best, limits)
        await self._stage("shares of the cores", ways, _OF_SHARES, found, stands)
        ways = sessions(found.best, limits, provider=provider)
        await self._stage("the session", ways, _OF_SESSIONS, found, stands)

    async def _stage(
        self, name: str, ways: Iterable[Setting], share: float, found: _Found, stands: Stands
    ) -> None:
        base = found.best
        entrants = [base]
        for setting in dict.fromkeys(ways):
            if setting != base and self._left_s:
                try:
                    await stands.require(setting)
                    entrants.append(setting)
                except Refused as err:
                    found.trials.append(Trial.of_refused(name, setting, str(err)))
        seconds = share * self._left_s
        if len(entrants) == 1 or not seconds:
            return

        async def measure(setting: Setting, seconds: float) -> float:
            return await self._measure(setting, seconds, found, stands)

        ranking = await knock_out(
            entrants,
            measure,
            reference=found.present,
            seconds=(1 - _TO_DECIDE) * seconds,
            clock=self._clock,
        )
        found.trials += [Trial.rated(name, rated) for rated in ranking]
        challenger = self._first_allowed(name, ranking, found)
        await stands.keep(found.present, base, challenger)
        if challenger != base:
            result = await duel(
                base, challenger, measure, seconds=_TO_DECIDE * seconds, clock=self._clock
            )
            found.comparisons.append(Comparison.of(name, base, challenger, result))
            if result.is_better:
                found.best = challenger
        await stands.keep(found.present, found.best)

    async def _gain(self, found: _Found, stands: Stands) -> Comparison | None:
        """The best way against the present one; None unless it is better beyond noise."""
        present, best = found.present, found.best
        if best == present:
            return None
        won = [c for c in found.comparisons if c.is_better]
        if len(won) == 1:  # that was against the present way
            return won[0]

        async def measure(setting: Setting, seconds: float) -> float:
            return await self._measure(setting, seconds, found, stands)

        result = await duel(present, best, measure, seconds=self._left_s, clock=self._clock)
        comparison = Comparison.of("all together", present, best, result)
        found.comparisons.append(comparison)
        return comparison if comparison.is_better else None

    async def _measure(
        self, setting: Setting, seconds: float, found: _Found, stands: Stands
    ) -> float:
        try:
            return await stands.measure(setting, seconds)
        except Refused as err:
            if setting == found.present:
                raise Untunable(f"the model stopped running as it is now: {err}") from err
            found.trials.append(Trial.of_refused("while it was measured", setting, str(err)))
            return 0.0

    def _first_allowed(
        self, stage: str, ranking: Iterable[Rated[Setting]], found: _Found
    ) -> Setting:
        """The best of a stage whose own certificate allows its rows; the best so far if none."""
        for rated in ranking:
            setting = rated.entrant
            if setting == found.best or setting.rows == 1:
                return setting
            try:
                batching = self._establish(setting)[0].batching
            except BundleError as err:
                found.trials.append(Trial.of_refused(stage, setting, str(err)))
                continue
            if setting.rows <= batching.most:
                return setting
            why = f"{setting.rows} rows may not share a run: {batching.reason}"
            found.trials.append(Trial.of_refused(stage, setting, why))
        return found.best

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
