"""The splits don't overlap, and what is composed is what is said."""

import subprocess
import sys

import numpy as np
import pytest

from models.data.batches import cut
from models.data.canvases import BACKGROUND, compose, enlarge
from models.data.digits import digits
from models.data.photos import photos
from models.data.series import HORIZON, series, windows
from models.data.split import Split
from models.data.text import ALPHABET, MASK, UNKNOWN, VOCABULARY, blocks, encode, tokens


def test_no_digit_is_in_both_splits():
    train, test = ({image.tobytes() for image in digits(split).pixels} for split in Split)
    assert not train & test
    assert len(digits(Split.TRAIN).labels) + len(digits(Split.TEST).labels) == 1797


def test_the_splits_are_neighbouring_parts_of_each_photograph():
    for train, test in zip(photos(Split.TRAIN), photos(Split.TEST), strict=True):
        assert train.shape == (3, 427, 480)
        assert test.shape == (3, 427, 160)
        assert not np.array_equal(train[:, :, -160:], test)


def test_no_block_of_text_is_in_both_splits():
    assert not set(blocks(Split.TRAIN)) & set(blocks(Split.TEST))
    assert len(tokens(Split.TRAIN)) > 4 * len(tokens(Split.TEST))


def test_the_held_out_months_follow_the_training_months():
    train, test = series(Split.TRAIN), series(Split.TEST)
    assert len(train) == (1990 - 1958) * 12 - 2
    assert len(test) == 12 * 12
    assert not np.isnan(np.concatenate([train, test])).any()


def test_a_window_and_its_future_are_consecutive():
    cut_windows = windows(Split.TEST, months=36)
    whole = np.concatenate([cut_windows.history[5], cut_windows.future[5]])
    np.testing.assert_array_equal(whole, series(Split.TEST)[5 : 5 + 36 + HORIZON])


def test_text_becomes_tokens_of_a_fixed_vocabulary():
    assert [ALPHABET[token] for token in encode("Garçon\n€")] == [*"Garcon\n", "?"]
    assert encode("€").tolist() == [UNKNOWN]
    assert MASK == VOCABULARY - 1 == 96


@pytest.mark.parametrize("split", list(Split))
def test_boxes_and_strokes_of_a_canvas_agree(split):
    rng = np.random.default_rng(3)
    for _ in range(20):
        canvas = compose(split, height=48, width=80, most=4, rng=rng)
        assert canvas.pixels.shape == (3, 48, 80)
        assert canvas.pixels.min() >= 0
        assert canvas.pixels.max() <= 1
        assert 1 <= len(canvas.boxes) == len(canvas.labels) <= 4
        outside = np.ones((48, 80), dtype=bool)
        for (left, top, right, bottom), label in zip(
            canvas.boxes.astype(int), canvas.labels, strict=True
        ):
            inside = canvas.strokes[top:bottom, left:right]
            assert set(np.unique(inside)) <= {label, BACKGROUND}
            assert (inside != BACKGROUND).any(axis=0)[[0, -1]].all()
            assert (inside != BACKGROUND).any(axis=1)[[0, -1]].all()
            outside[top:bottom, left:right] = False
        assert (canvas.strokes[outside] == BACKGROUND).all()


def test_enlarging_keeps_a_plane_and_a_constant():
    plane = np.add.outer(np.arange(8.0), np.arange(8.0)).astype(np.float32)
    assert enlarge(np.ones((8, 8), dtype=np.float32), 20) == pytest.approx(np.ones((20, 20)))
    inner = enlarge(plane, 16)[1:-1, 1:-1]
    assert np.diff(inner, axis=0) == pytest.approx(np.full((13, 14), 0.5), abs=1e-5)


def test_arrays_are_cut_into_requests_with_a_rest():
    batches = cut(2, x=np.arange(5), y=np.arange(10).reshape(5, 2))
    assert [batch["x"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert batches[2]["y"].tolist() == [[8, 9]]


def test_naming_a_scene_needs_no_data_package():
    code = (
        "import sys, models; print(sorted({'sklearn', 'statsmodels', 'pandas'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
