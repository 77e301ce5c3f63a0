"""The runtime alone: the best of many loops, timed once more."""

import time

import numpy as np

from normserve.bench.bare import bare_loop


def test_the_batch_that_pays_is_found_and_timed():
    def run(feeds):
        time.sleep(0.002 if len(feeds["x"]) <= 4 else 0.02)

    found = bare_loop(lambda threads: run, {"x": np.ones((1, 2))}, is_batchable=True, seconds=0.02)
    assert found.batch == 4
    assert 4 / 0.004 < found.per_s <= 4 / 0.002
    assert found.alone_ms >= 2


def test_requests_that_may_not_share_a_run_are_timed_alone():
    asked = []
    bare_loop(
        lambda threads: lambda feeds: asked.append(len(feeds["x"])),
        {"x": np.ones((1, 2))},
        is_batchable=False,
        seconds=0.001,
    )
    assert set(asked) == {1}
