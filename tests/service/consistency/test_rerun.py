import math

import numpy as np
import pytest

from bundle import Datatype, Tolerance
from bundle.errors import BundleError, DigestMismatch
from service.consistency import Against, Yardstick
from service.consistency.rerun import Forget, Part, Rerun
from tests.service import tiny

YARDSTICK = Yardstick(
    tolerances={"y": Tolerance(atol=1e-6, rtol=0.0, source="a test")}, magnitudes={"y": 10.0}
)


NOTHING_BUT_STRINGS = Yardstick(tolerances={}, magnitudes={})


def rerun(tmp_path, model, *, x, y, rows=None, yardstick=YARDSTICK):
    """The differences of an answer to a plain model, by what it was compared with."""
    known = tiny.consistency_of(tiny.write_plain(tmp_path, "m", model))
    whole = Part({"x": x}, {"y": y})
    parts = (whole,) if rows is None else tuple(map(whole.row, rows))
    found = Rerun(source=known.source, yardstick=yardstick, parts=parts)()
    return {difference.against: difference for difference in found}


def test_a_right_answer_is_no_difference(tmp_path):
    x = np.array([[1.0, 2.0]], np.float32)
    found = rerun(tmp_path, tiny.scale(2.0), x=x, y=2 * x)
    assert set(found) == {Against.SOLO, Against.REFERENCE}
    assert [difference.error for difference in found.values()] == [0.0, 0.0]


def test_an_answer_that_is_not_what_its_rows_give_alone_is_beyond_tolerance(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    y = 2 * x
    y[2, 1] += 0.5
    found = rerun(tmp_path, tiny.scale(2.0), x=x, y=y, rows=(0, 1, 2))
    assert found[Against.SOLO].error == 0.5
    assert "outside its tolerance" in found[Against.SOLO].reason
    assert found[Against.REFERENCE].reason == ""


def test_rows_that_were_batched_are_seen_to_depend_on_their_neighbours(tmp_path):
    x = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    found = rerun(tmp_path, tiny.batch_mean(), x=x, y=x - x.mean(axis=0), rows=(0, 1))
    assert found[Against.SOLO].error == 2.0
    assert found[Against.SOLO].reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_client_that_sends_what_is_not_finite_makes_no_difference(tmp_path, value):
    x = np.array([[value, 2.0]], np.float32)
    found = rerun(tmp_path, tiny.scale(2.0), x=x, y=2 * x)
    assert all(not difference.reason for difference in found.values())
    assert [difference.error for difference in found.values()] == [0.0, 0.0]


def test_nan_in_the_place_of_a_number_is_infinitely_far(tmp_path):
    x = np.array([[1.0, 2.0]], np.float32)
    found = rerun(tmp_path, tiny.scale(2.0), x=x, y=np.array([[np.nan, 4.0]], np.float32))
    assert found[Against.SOLO].error == math.inf
    assert "got nan, expected 2" in found[Against.SOLO].reason


def test_another_shape_is_infinitely_far(tmp_path):
    x = np.array([[1.0, 2.0]], np.float32)
    found = rerun(tmp_path, tiny.scale(2.0), x=x, y=np.zeros((1, 3), np.float32))
    assert found[Against.SOLO].error == math.inf


def test_strings_are_equal_or_not(tmp_path):
    x = np.array([[b"a", b"\xff", b""]], object)
    found = rerun(tmp_path, tiny.identity(Datatype.BYTES), x=x, y=x, yardstick=NOTHING_BUT_STRINGS)
    assert all(not difference.reason for difference in found.values())


def test_strings_that_differ_are_told(tmp_path):
    x = np.array([[b"nan", b"b", b"c"]], object)
    y = np.array([[b"inf", b"b", b"c"]], object)
    found = rerun(tmp_path, tiny.identity(Datatype.BYTES), x=x, y=y, yardstick=NOTHING_BUT_STRINGS)
    assert found[Against.SOLO].error == 1.0
    assert found[Against.SOLO].reason


def test_a_file_that_changed_since_it_was_loaded_is_not_compared_with(tmp_path):
    known = tiny.consistency_of(tiny.write_plain(tmp_path, "m", tiny.scale(2.0)))
    known.source.model_path.write_bytes(tiny.scale(3.0).SerializeToString())
    x = np.array([[1.0, 2.0]], np.float32)
    task = Rerun(source=known.source, yardstick=YARDSTICK, parts=(Part({"x": x}, {"y": 2 * x}),))
    with pytest.raises(DigestMismatch, match="was changed since it was loaded"):
        task()


def test_sessions_are_kept_until_their_version_is_forgotten(tmp_path):
    known = tiny.consistency_of(tiny.write_plain(tmp_path, "m", tiny.scale(2.0)))
    x = np.ones((1, 2), np.float32)
    again = Rerun(source=known.source, yardstick=YARDSTICK, parts=(Part({"x": x}, {"y": 2 * x}),))
    again()
    known.source.model_path.unlink()
    again()
    Forget(known.source)()
    Forget(known.source)()
    with pytest.raises((BundleError, OSError)):
        again()
