"""Threads at work, shared among models of different sizes."""

from service.batching.turns import Turns


class Model:
    """Wants so many runs of a size; begins each as soon as it may."""

    def __init__(self, turns, size, *, log):
        self.turns, self.size, self.log = turns, size, log
        self.wanted = 0

    def begin(self):
        while self.wanted and self.turns.take(self.begin, self.size):
            self.wanted -= 1
            self.log.append(self.size)

    def want(self, runs=1):
        self.wanted += runs
        self.begin()


def test_as_many_runs_begin_as_there_are_threads_for():
    turns, log = Turns(4), []
    Model(turns, 3, log=log).want(2)
    assert (log, turns.free) == ([3], 1)
    turns.give(3)
    assert (log, turns.free) == ([3, 3], 1)


def test_who_waits_for_many_threads_is_not_overtaken_by_those_who_want_few():
    turns, log = Turns(2), []
    small, large = Model(turns, 1, log=log), Model(turns, 2, log=log)
    small.want(2)
    large.want()
    small.want(2)
    turns.give(1)
    assert log == [1, 1]
    turns.give(1)
    assert log == [1, 1, 2]
    turns.give(2)
    assert log == [1, 1, 2, 1, 1]


def test_threads_that_come_free_together_are_all_taken_and_shared():
    turns, log = Turns(4), []
    whole = Model(turns, 4, log=[])
    whole.want()
    one, other = Model(turns, 1, log=log), Model(turns, 1, log=log)
    one.want(3)
    other.want(3)
    turns.give(4)
    assert (one.wanted, other.wanted, turns.free) == (1, 1, 0)


def test_who_does_not_want_it_any_more_leaves_it_to_others():
    turns, log = Turns(2), []
    small, large = Model(turns, 1, log=log), Model(turns, 2, log=log)
    small.want(2)
    large.want()
    small.want()
    large.wanted = 0
    turns.give(1)
    turns.give(1)
    assert (log, turns.free) == ([1, 1, 1], 1)
