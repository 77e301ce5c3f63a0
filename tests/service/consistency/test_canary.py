import random
import time
from contextlib import contextmanager

import numpy as np
import pytest
from structlog.testing import capture_logs

from bundle import Datatype, Tolerance
from bundle.certificate import Verdict
from service.consistency import Against, Canary, Yardstick
from tests.service import tiny

YARDSTICK = Yardstick(
    tolerances={"y": Tolerance(atol=1e-6, rtol=0.0, source="a test")}, magnitudes={"y": 10.0}
)
X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@contextmanager
def canary(**how):
    dice = random.Random(1)  # noqa: S311  # no secret depends on it
    usual = {"fraction": 1.0, "max_waiting": 8, "max_bytes": 2**20, "dice": dice}
    bird = Canary(**(usual | how))
    try:
        yield bird
    finally:
        bird.close()


def established(tmp_path, model, *, verdict=Verdict.BITWISE, yardstick=YARDSTICK):
    known = tiny.consistency_of(tiny.write_plain(tmp_path, "m", model))
    known.finish(tiny.report(known, verdict=verdict, yardstick=yardstick))
    return known


def wait_until(known, *, compared=0, failed=0):
    def is_there():
        seen = known.live.snapshot
        return seen.compared >= compared and seen.failed >= failed

    tiny.wait_for(is_there, seconds=60)
    return known.live.snapshot


def test_answers_are_compared_off_their_way(tmp_path):
    known = established(tmp_path, tiny.scale(2.0))
    with canary() as bird:
        for _ in range(3):
            bird.offer(known, {"x": X}, {"y": 2 * X})
        seen = wait_until(known, compared=3)
    assert (seen.dropped, seen.failed) == (0, 0)
    assert {(output.output, output.against) for output in seen.outputs} == {
        ("y", Against.SOLO),
        ("y", Against.REFERENCE),
    }
    assert all(output.exceeded == 0 for output in seen.outputs)


def test_an_answer_beyond_its_tolerance_is_counted_and_logged_once(tmp_path):
    known = established(tmp_path, tiny.scale(2.0))
    with capture_logs() as logs, canary() as bird:
        for _ in range(3):
            bird.offer(known, {"x": X}, {"y": 2 * X + 1})
        seen = wait_until(known, compared=3)
    solo = next(output for output in seen.outputs if output.against is Against.SOLO)
    assert (solo.exceeded, solo.worst.error) == (3, 1.0)
    (line,) = [line for line in logs if line["event"] == "live answer beyond tolerance"]
    assert (line["model"], line["against"]) == ("m", "solo")


def test_rows_are_run_one_by_one_only_where_they_are_known_to_be_independent(tmp_path):
    """The mean of the batch is taken away: the answer is right as it came, and wrong row by row."""
    known = established(tmp_path, tiny.batch_mean(), verdict=Verdict.DEPENDENT)
    answer = X - X.mean(axis=0)
    with canary() as bird:
        bird.offer(known, {"x": X}, {"y": answer})
        assert all(o.exceeded == 0 for o in wait_until(known, compared=1).outputs)
        known.finish(tiny.report(known, verdict=Verdict.BITWISE, yardstick=YARDSTICK))
        bird.offer(known, {"x": X}, {"y": answer})
        assert any(o.exceeded == 1 for o in wait_until(known, compared=2).outputs)


def test_a_scalar_and_an_empty_batch_are_run_as_they_came(tmp_path):
    known = established(tmp_path, tiny.identity(Datatype.FP32, ()))
    with canary() as bird:
        bird.offer(known, {"x": np.full((), 2.0, np.float32)}, {"y": np.zeros((), np.float32)})
        assert wait_until(known, compared=1).outputs[0].worst.error == 2.0
    known = established(tmp_path / "other", tiny.scale(2.0))
    empty = np.zeros((0, 2), np.float32)
    with canary() as bird:
        bird.offer(known, {"x": empty}, {"y": empty})
        assert wait_until(known, compared=1).outputs[0].exceeded == 0


def test_nothing_is_drawn_while_it_is_off(tmp_path):
    known = established(tmp_path, tiny.scale(2.0))
    with canary(fraction=0.0, max_waiting=1) as bird:
        for _ in range(100):
            bird.offer(known, {"x": X}, {"y": X})
    assert known.live.snapshot.dropped == 0


def test_about_the_fraction_is_drawn(tmp_path):
    """What is drawn and finds no place is counted: there is place for nothing here."""
    known = established(tmp_path, tiny.scale(2.0))
    with canary(fraction=0.25, max_bytes=1) as bird:
        for _ in range(1000):
            bird.offer(known, {"x": X}, {"y": X})
    assert 200 < known.live.snapshot.dropped < 300


@pytest.mark.parametrize("yardstick", ["no report", None])
def test_nothing_is_drawn_before_it_is_known_how_far_right_answers_may_be_apart(
    tmp_path, yardstick
):
    known = tiny.consistency_of(tiny.write_plain(tmp_path, "m", tiny.scale(2.0)))
    if yardstick is None:
        known.finish(tiny.report(known, yardstick=None))
    with canary(max_bytes=1) as bird:
        bird.offer(known, {"x": X}, {"y": X})
    assert known.live.snapshot.dropped == 0


def test_a_slow_reference_costs_comparisons_and_no_request_its_time(tmp_path):
    known = established(tmp_path, tiny.slow(10_000_000))
    x = np.zeros(2, np.float32)
    with canary(max_waiting=4) as bird:
        began = time.monotonic()
        for _ in range(1000):
            bird.offer(known, {"x": x}, {"y": x})
        assert time.monotonic() - began < 1
        assert known.live.snapshot.dropped >= 1000 - 4 - 1
        began = time.monotonic()
    assert time.monotonic() - began < 5  # closing waits for no run


def test_the_bytes_that_wait_are_bounded(tmp_path):
    known = established(tmp_path, tiny.identity(Datatype.BYTES))
    text = np.array([[b"a" * 1000, b"", b""]], object)
    with canary(max_bytes=1999) as bird:
        bird.offer(known, {"x": text}, {"y": text})
    assert known.live.snapshot.dropped == 1


def test_a_run_that_does_not_end_is_given_up_and_the_next_is_compared(tmp_path):
    endless = established(tmp_path / "a", tiny.slow(10_000_000))
    quick = established(tmp_path / "b", tiny.scale(2.0))
    x = np.zeros(2, np.float32)
    with capture_logs() as logs, canary(timeout_s=4.0) as bird:
        bird.offer(endless, {"x": x}, {"y": x})
        bird.offer(quick, {"x": X}, {"y": 2 * X})
        assert "longer than 4 seconds" in wait_until(endless, failed=1).failure
        wait_until(quick, compared=1)
    assert [line["event"] for line in logs] == ["live request not compared"]


def test_a_request_that_cannot_be_computed_a_second_time_is_counted_and_logged_once(tmp_path):
    known = established(tmp_path, tiny.scale(2.0))
    known.source.model_path.unlink()
    with capture_logs() as logs, canary() as bird:
        for _ in range(3):
            bird.offer(known, {"x": X}, {"y": X})
        seen = wait_until(known, failed=3)
    assert seen.compared == 0
    assert "model.onnx" in seen.failure
    assert len(logs) == 1


def test_what_answers_no_more_is_not_compared_any_more(tmp_path):
    known = established(tmp_path, tiny.scale(2.0))
    other = established(tmp_path / "other", tiny.scale(3.0))
    with canary(max_waiting=64) as bird:
        for _ in range(32):
            bird.offer(known, {"x": X}, {"y": 2 * X})
        bird.forget(known)
        bird.offer(other, {"x": X}, {"y": 3 * X})
        wait_until(other, compared=1)
    assert known.live.snapshot.compared < 32
    assert known.live.snapshot.failed == 0


def test_a_version_that_was_never_drawn_is_forgotten_without_a_process(tmp_path):
    with canary() as bird:
        bird.forget(established(tmp_path, tiny.scale(2.0)))
