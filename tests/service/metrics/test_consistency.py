import math

from service.consistency import Against
from service.consistency.live import Difference
from service.registry import Registry
from tests.service import tiny
from tests.service.metrics.scraping import scrape, serve


def test_what_the_canary_saw_is_told_for_each_version_and_output():
    registry = Registry()
    known = serve(registry, "m", 3).consistency
    for error, reason in ((0.5, ""), (math.inf, "NaN")):
        known.live.add(
            [
                Difference(
                    output='y"\n', against=Against.SOLO, error=error, tolerance=1.0, reason=reason
                )
            ]
        )
    known.live.drop()
    known.live.fail("gone")
    got = scrape(registry)
    assert got["normserve_canary_compared_total", "m", "3"] == 2
    assert got["normserve_canary_dropped_total", "m", "3"] == 1
    assert got["normserve_canary_failed_total", "m", "3"] == 1
    output = ("solo", "m", 'y"\n', "3")
    assert got["normserve_canary_exceeded_total", *output] == 1
    assert got["normserve_canary_error_count", *output] == 2
    assert got["normserve_canary_error_sum", *output] == 0.5
    assert got["normserve_canary_worst_error", *output] == math.inf


def test_whether_a_model_may_be_batched_and_how_far_that_is_known_is_told():
    registry = Registry()
    known = serve(registry, "m").consistency
    got = scrape(registry)
    assert got["normserve_batching_allowed", "m", "1"] == 0
    assert got["normserve_consistency_state", "m", "unknown", "1"] == 1
    known.finish(tiny.report(known))
    got = scrape(registry)
    assert got["normserve_batching_allowed", "m", "1"] == 1
    assert got["normserve_consistency_state", "m", "unknown", "1"] == 0
    assert got["normserve_consistency_state", "m", "established", "1"] == 1
