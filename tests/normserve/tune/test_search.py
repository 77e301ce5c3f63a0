import random

import pytest

from normserve.tune.search import BETTER, ROUNDS, Duel, duel, knock_out


class Machine:
    """Time passes only by measuring; one measurement is never quite like another."""

    def __init__(self, rates, *, noise=0.0, slow_s=0.0, seed=0):
        self.rates = rates
        self.noise = noise
        self.slow_s = slow_s
        self.now = 0.0
        self.measured = []
        self.random = random.Random(seed)  # noqa: S311  # noise, not secrets

    def clock(self):
        return self.now

    async def measure(self, entrant, seconds):
        self.now += max(seconds, self.slow_s)
        self.measured.append(entrant)
        return self.rates[entrant] * (1 + self.random.uniform(-self.noise, self.noise))


async def ranking(machine, *, reference="a", seconds=10.0):
    rated = await knock_out(
        list(machine.rates),
        machine.measure,
        reference=reference,
        seconds=seconds,
        clock=machine.clock,
    )
    return [each.entrant for each in rated]


async def test_the_quickest_is_first_and_all_are_ranked():
    machine = Machine({"a": 10.0, "b": 12.0, "c": 5.0, "d": 30.0, "e": 11.0})
    assert await ranking(machine) == ["d", "b", "e", "a", "c"]


async def test_those_that_are_out_are_measured_no_more_and_the_others_for_longer():
    machine = Machine({"a": 10.0, "b": 1.0, "c": 2.0, "d": 9.0})
    await ranking(machine)
    assert machine.measured.count("b") < machine.measured.count("a")
    assert machine.now == pytest.approx(10.0)


async def test_what_the_others_are_compared_with_is_measured_in_every_pass():
    machine = Machine({"a": 1.0, "b": 20.0, "c": 30.0, "d": 40.0})
    rated = await knock_out(
        ["b", "c", "d"], machine.measure, reference="a", seconds=9.0, clock=machine.clock
    )
    assert [(each.entrant, each.ratio) for each in rated] == [("d", 40.0), ("c", 30.0), ("b", 20.0)]


async def test_noise_that_is_smaller_than_the_difference_does_not_decide():
    for seed in range(20):
        machine = Machine({"a": 10.0, "b": 13.0, "c": 9.0, "d": 10.5}, noise=0.1, seed=seed)
        assert (await ranking(machine))[0] == "b"


async def test_when_the_time_is_over_a_pass_is_made_all_the_same_and_no_other():
    machine = Machine({"a": 1.0, "b": 2.0, "c": 3.0}, slow_s=100.0)
    assert await ranking(machine, seconds=1.0) == ["c", "b", "a"]
    assert sorted(machine.measured) == ["a", "b", "c"]


async def test_a_single_entrant_is_its_own_ranking():
    assert await ranking(Machine({"a": 1.0})) == ["a"]


async def test_one_that_does_not_run_is_last():
    assert await ranking(Machine({"a": 1.0, "b": 0.0, "c": 2.0})) == ["c", "a", "b"]


async def fight(machine, *, seconds=22.0):
    return await duel("a", "b", machine.measure, seconds=seconds, clock=machine.clock)


async def test_a_clear_difference_is_better():
    result = await fight(Machine({"a": 10.0, "b": 13.0}, noise=0.05))
    assert len(result.ratios) == ROUNDS
    assert result.is_better
    assert 1.0 < result.at_least <= result.ratio


async def test_a_difference_that_is_not_worth_a_change_is_none():
    assert not (await fight(Machine({"a": 100.0, "b": 102.0}))).is_better


async def test_equal_ones_are_hardly_ever_told_apart():
    better = [
        (await fight(Machine({"a": 10.0, "b": 10.0}, noise=0.3, seed=seed))).is_better
        for seed in range(200)
    ]
    assert sum(better) <= 0.06 * len(better)


async def test_too_few_rounds_decide_nothing():
    result = await fight(Machine({"a": 1.0, "b": 9.0}, slow_s=10.0), seconds=60.0)
    assert len(result.ratios) == 3
    assert result.at_least == 0.0
    assert not result.is_better


async def test_where_the_present_one_does_not_run_anything_is_better():
    assert (await fight(Machine({"a": 0.0, "b": 1.0}))).is_better


@pytest.mark.parametrize(
    ("ratios", "at_least"),
    [
        ((), 0.0),
        ((2.0,) * 4, 0.0),
        ((2.0, 3.0, 4.0, 5.0, 1.5), 1.5),
        ((0.9, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8), 1.1),
        ((0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9), 1.1),
    ],
)
def test_what_the_true_median_exceeds_is_found_by_the_sign_test(ratios, at_least):
    assert Duel(ratios).at_least == at_least


def test_no_rounds_say_nothing():
    assert Duel(()).ratio == 1.0
    assert BETTER > 1.0
