"""From the present way to run a model to the best, one stage after another. Opens nothing itself.

What wins a stage replaces the way before it only if it is better beyond noise (`search.RULE`), and
in the end the whole way must be, against the present one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from normserve.tune.errors import Refused, Untunable
from normserve.tune.evidence import Comparison, Trial
from normserve.tune.search import Clock, Rated, duel, knock_out
from normserve.tune.setting import Setting
from normserve.tune.stand import Stands

__all__ = ["Stages"]

_TO_DECIDE: Final = 0.4
"""Of a stage, for its best against what that would replace."""


class Stages:
    """The stages of one tuning.

    Args:
        present: the way that the model is run now.
        stands: what measures a way.
        objection: why a way may not be chosen, whatever was measured; empty if it may.
        end: when the time is over, on the clock.
        clock: seconds, rising.

    Attributes:
        best: the present way until something is better beyond noise.
        trials: all that was tried.
        comparisons: what was decided.
    """

    def __init__(
        self,
        present: Setting,
        stands: Stands,
        *,
        objection: Callable[[Setting], str],
        end: float,
        clock: Clock,
    ) -> None:
        self.best = present
        self.trials: list[Trial] = []
        self.comparisons: list[Comparison] = []
        self._present = present
        self._stands = stands
        self._objection = objection
        self._end = end
        self._clock = clock

    async def run(self, name: str, ways: Iterable[Setting], *, share: float) -> None:
        """One stage.

        Args:
            name: of it.
            ways: to run the model, beside the best so far.
            share: of the time that is left.
        """
        base = self.best
        entrants = [base, *[way for way in dict.fromkeys(ways) if await self._runs(name, way)]]
        seconds = share * self._left_s
        if len(entrants) == 1 or not seconds:
            return
        ranking = await knock_out(
            entrants,
            self._measure,
            reference=self._present,
            seconds=(1 - _TO_DECIDE) * seconds,
            clock=self._clock,
        )
        self.trials += [Trial.rated(name, rated) for rated in ranking]
        challenger = self._first_allowed(name, ranking)
        await self._stands.keep(self._present, base, challenger)
        if challenger != base and await self._wins(
            name, challenger, base, seconds=_TO_DECIDE * seconds
        ):
            self.best = challenger
        await self._stands.keep(self._present, self.best)

    async def gain(self) -> Comparison | None:
        """The best way against the present one; None unless it is better beyond noise.

        Where one stage alone has changed something, that was decided there.
        """
        won = [comparison for comparison in self.comparisons if comparison.is_better]
        if len(won) > 1:
            await self._wins("all together", self.best, self._present, seconds=self._left_s)
            won = self.comparisons[-1:]
        return won[0] if won and won[0].is_better else None

    @property
    def _left_s(self) -> float:
        return max(0.0, self._end - self._clock())

    async def _runs(self, stage: str, way: Setting) -> bool:
        """Whether a way may be measured; if not, it is noted why."""
        if way == self.best:
            return False
        if not self._left_s:
            self.trials.append(Trial.without(stage, way, "the time was over"))
            return False
        try:
            await self._stands.require(way)
        except Refused as err:
            self.trials.append(Trial.without(stage, way, f"refused: {err}"))
            return False
        return True

    async def _wins(
        self, stage: str, challenger: Setting, present: Setting, *, seconds: float
    ) -> bool:
        result = await duel(present, challenger, self._measure, seconds=seconds, clock=self._clock)
        self.comparisons.append(Comparison.of(stage, present, challenger, result))
        return result.is_better

    async def _measure(self, way: Setting, seconds: float) -> float:
        try:
            return await self._stands.measure(way, seconds)
        except Refused as err:
            if way == self._present:
                raise Untunable(f"the model stopped running as it is now: {err}") from err
            self.trials.append(Trial.without("while it was measured", way, f"ended: {err}"))
            return 0.0

    def _first_allowed(self, stage: str, ranking: Sequence[Rated[Setting]]) -> Setting:
        """The best that may be chosen; the best so far if no other may."""
        for rated in ranking:
            way = rated.entrant
            why = "" if way == self.best else self._objection(way)
            if not why:
                return way
            self.trials.append(Trial.without(stage, way, f"refused: {why}"))
        return self.best
