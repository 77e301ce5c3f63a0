import numpy as np
import pytest

from bundle import InputInvalid, open_model
from bundle.checks import Subject
from bundle.checks.rows import pools, synthetic_feeds
from tests.bundle.checks.texts import normal, parse


def made(text, *, inputs=(), rows=8, **more):
    model = parse(text, **more)
    subject = Subject(model=model, inputs=inputs)
    return pools(subject, open_model(model), rows=rows)


TOKENS = "(int64[batch, length] ids, bool[batch, length] mask) => (float[batch, length, 4] y)"


def embedding(words=100):
    text = f"""{TOKENS} {{
        e = Gather (table, ids)
        m = Cast <to = 1> (mask)
        last = Constant <value_ints = [2]> ()
        f = Unsqueeze (m, last)
        y = Mul (e, f)
    }}"""
    return text, {"weights": {"table": normal(words, 4)}}


def test_integers_are_words_that_every_vocabulary_has_and_masks_are_ones():
    text, more = embedding(words=2)
    (pool,) = made(text, **more)
    assert pool.source == "random"
    assert set(np.unique(pool.arrays["ids"])) == {0, 1}
    assert pool.arrays["mask"].all()
    assert pool.rows == 8


def test_integers_are_drawn_from_those_that_samples_have():
    text, more = embedding()
    sample = {"ids": np.int64([[10, 20, 30]]), "mask": np.ones((1, 3), bool)}
    real, drawn = made(text, inputs=(sample,), **more)
    assert (real.source, drawn.source) == ("real", "random")
    np.testing.assert_array_equal(real.arrays["ids"][0], [10, 20, 30])
    assert set(real.arrays["ids"].ravel()) == {10, 20, 30}
    assert drawn.arrays["ids"].min() >= 10
    assert drawn.arrays["ids"].max() <= 30


def test_samples_of_the_same_shape_are_rows_of_one_pool():
    text = "(float[batch, 2] x) => (float[batch, 2] y) { y = Relu (x) }"
    samples = tuple({"x": np.full((2, 2), i, np.float32)} for i in range(3))
    real, drawn = made(text, inputs=samples)
    assert real.arrays["x"][:6, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert drawn.arrays["x"].shape == (8, 2)


def test_a_sample_that_is_no_batch_is_left_out():
    text = "(float[batch, 2] x, float[other, 2] z) => (float[batch, 2] y) { y = Add (x, z) }"
    sample = {"x": np.ones((2, 2), np.float32), "z": np.ones((1, 2), np.float32)}
    (pool,) = made(text, inputs=(sample,))
    assert pool.source == "random"


def test_a_length_that_the_model_takes_is_found():
    text = """(float[batch, 3, height, width] x) => (float[batch, 4, h, w] y) {
        y = Conv <kernel_shape = [30, 30]> (x, w)
    }"""
    (pool,) = made(text, weights={"w": normal(4, 3, 30, 30)})
    assert pool.arrays["x"].shape == (8, 3, 32, 32)


def test_strings_are_strings():
    (pool,) = made("(string[batch] x) => (string[batch] y) { y = Identity (x) }")
    assert pool.arrays["x"].tolist() == [b"a"] * 8


def test_a_model_that_takes_nothing_that_is_tried_says_that_samples_are_needed():
    text = """(float[batch, length] x) => (float[batch, length] y) {
        s = Constant <value_ints = [-1, 1000]> ()
        y = Reshape (x, s)
    }"""
    model = parse(text)
    with pytest.raises(InputInvalid, match="give samples of what it takes"):
        synthetic_feeds(Subject(model=model), open_model(model), rows=3)
