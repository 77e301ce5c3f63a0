"""Which of several ways is the quickest, and whether that is more than noise. Runs nothing itself.

Whatever is compared is measured in turn, again and again, so that a machine that slows down slows
all of it down; what counts are ratios within one such round, and their median.
"""

import math
import statistics
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["BETTER", "ROUNDS", "RULE", "Clock", "Duel", "Rated", "duel", "knock_out"]

BETTER: Final = 1.03
"""How many times as quick something must be to be worth a change."""
ROUNDS: Final = 11
"""Of a duel."""
_PASSES: Final = 3
"""Of each round of a knock-out."""
_DOUBT: Final = 0.05
RULE: Final = (
    f"measured in turn up to {ROUNDS} times against what it replaces; the median of the ratios is"
    f" {BETTER:g} or more, and that its true median is 1 or less has a probability of {_DOUBT:g} at"
    " most (sign test)"
)

T = TypeVar("T", bound=Hashable)
Measure = Callable[[T, float], Awaitable[float]]
"""How quick one is, measured for so many seconds: the more the better, and 0 if it did not run."""
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Rated(Generic[T]):
    """What one of several came to.

    Attributes:
        entrant: which.
        rates: how quick it was, in each pass of the last round that it was in.
        ratios: the same, of the reference in the same pass.
    """

    entrant: T
    rates: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)


@dataclass(frozen=True, slots=True)
class Duel:
    """One against another.

    Attributes:
        ratios: how many times as quick the challenger was, in each round.
    """

    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median; 1 where there was no round."""
        return statistics.median(self.ratios) if self.ratios else 1.0

    @property
    def at_least(self) -> float:
        """What the true median exceeds, with the probability of the rule; 0 if nothing is known."""
        count, below = len(self.ratios), 0
        while _at_most(below, of=count) <= _DOUBT:
            below += 1
        return sorted(self.ratios)[below - 1] if below else 0.0

    @property
    def is_better(self) -> bool:
        """Whether the challenger is, beyond noise; see `RULE`."""
        return self.ratio >= BETTER and self.at_least > 1.0


async def knock_out(
    entrants: Sequence[T],
    measure: Measure[T],
    *,
    reference: T,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> list[Rated[T]]:
    """Measure all of them; then the better half for twice as long each, until two are left.

    Args:
        entrants: what is compared.
        measure: how quick one is.
        reference: what the ratios are of; it is measured in every pass.
        seconds: that it should take. A pass that has begun is ended, and each is made once.
        clock: seconds, rising.

    Returns:
        Best first; those that went further before those that were out earlier.
    """
    alive = list(dict.fromkeys(entrants))
    ranking: list[Rated[T]] = []
    end = clock() + seconds
    rounds = max(1, math.ceil(math.log2(len(alive))))
    for number in range(rounds):
        here = [reference, *(entrant for entrant in alive if entrant != reference)]
        slice_s = seconds / rounds / len(here) / _PASSES
        passes: list[dict[T, float]] = []
        while not passes or (len(passes) < _PASSES and clock() < end):
            # there and back again, so that none always follows the same one
            order = here if len(passes) % 2 == 0 else here[::-1]
            passes.append({entrant: await measure(entrant, slice_s) for entrant in order})
        rated = sorted((_rated(entrant, passes, reference) for entrant in alive), key=_by_ratio)
        staying = rated[: max(1, math.ceil(len(rated) / 2))]
        if number == rounds - 1 or clock() >= end:
            return rated + ranking
        ranking = rated[len(staying) :] + ranking
        alive = [each.entrant for each in staying]
    return ranking


async def duel(
    present: T,
    challenger: T,
    measure: Measure[T],
    *,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Duel:
    """Measure two in turn.

    Args:
        present: what the challenger would replace.
        challenger: the other.
        measure: how quick one is.
        seconds: that it should take; when they are over, no other round begins.
        clock: seconds, rising.
    """
    end = clock() + seconds
    ratios: list[float] = []
    while len(ratios) < ROUNDS and clock() < end:
        order = (present, challenger) if len(ratios) % 2 == 0 else (challenger, present)
        rates = {each: await measure(each, seconds / ROUNDS / 2) for each in order}
        ratios.append(_ratio(rates[challenger], rates[present]))
    return Duel(tuple(ratios))


def _rated(entrant: T, passes: Sequence[dict[T, float]], reference: T) -> Rated[T]:
    return Rated(
        entrant,
        tuple(each[entrant] for each in passes),
        tuple(_ratio(each[entrant], each[reference]) for each in passes),
    )


def _ratio(rate: float, of: float) -> float:
    """Where what it is held against did not run, anything is better."""
    return rate / of if of else math.inf


def _by_ratio(rated: Rated[T]) -> float:
    return -rated.ratio


def _at_most(count: int, *, of: int) -> float:
    """The probability of so many heads at most, of so many coins."""
    if count >= of:
        return 1.0
    chance: float = sum(math.comb(of, heads) for heads in range(count + 1)) / 2**of
    return chance
