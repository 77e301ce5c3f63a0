import math
import threading

from service.consistency.live import Against, Difference, Live


def difference(error, *, reason="", tolerance=1.0, against=Against.SOLO):
    return Difference(output="y", against=against, error=error, tolerance=tolerance, reason=reason)


def test_nothing_was_seen_at_first():
    seen = Live().snapshot
    assert (seen.compared, seen.dropped, seen.failed, seen.outputs) == (0, 0, 0, ())


def test_each_output_has_its_counts_for_each_comparison():
    live = Live()
    live.add([difference(0.5), difference(0.1, against=Against.REFERENCE)])
    live.add([difference(2.0, reason="too far")])
    solo, reference = live.snapshot.outputs
    assert (solo.compared, solo.exceeded, solo.error_sum) == (2, 1, 2.5)
    assert (reference.compared, reference.exceeded) == (1, 0)
    assert live.snapshot.compared == 2


def test_only_a_difference_that_is_beyond_and_worse_than_all_before_is_news():
    live = Live()
    assert live.add([difference(0.5)]) == ()
    assert live.add([difference(2.0, reason="far")])
    assert live.add([difference(1.5, reason="less far")]) == ()
    assert live.add([difference(3.0, reason="further")])
    assert live.snapshot.outputs[0].worst.reason == "further"


def test_one_that_is_beyond_is_worse_than_a_larger_one_that_is_not():
    live = Live()
    live.add([difference(5.0, tolerance=100.0)])
    live.add([difference(2.0, reason="far")])
    assert live.snapshot.outputs[0].worst.error == 2.0


def test_an_infinite_difference_is_the_worst_and_spoils_no_sum():
    live = Live()
    live.add([difference(0.5)])
    live.add([difference(math.inf, reason="NaN")])
    live.add([difference(9.0, reason="far")])
    (seen,) = live.snapshot.outputs
    assert (seen.worst.error, seen.error_sum, seen.exceeded) == (math.inf, 9.5, 2)


def test_an_exact_output_has_no_tolerance_to_be_measured_by():
    live = Live()
    live.add([difference(0.0, tolerance=0.0)])
    live.add([difference(1.0, tolerance=0.0, reason="not equal")])
    assert live.snapshot.outputs[0].worst.reason == "not equal"


def test_a_failure_is_news_when_its_reason_is_another():
    live = Live()
    assert [live.fail("a"), live.fail("a"), live.fail("b")] == [True, False, True]
    assert (live.snapshot.failed, live.snapshot.failure) == (3, "b")


def test_threads_that_count_at_once_lose_nothing():
    live = Live()

    def count():
        for _ in range(500):
            live.drop()
            live.add([difference(0.1)])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = live.snapshot
    assert (seen.dropped, seen.compared, seen.outputs[0].compared) == (2000, 2000, 2000)
