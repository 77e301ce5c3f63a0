"""Small networks with something that a coarse precision trips over."""

import numpy as np

from tests.bundle.checks.texts import normal, parse

BY_HAND = """(float[batch, 64] x) => (float[batch, 64] y) {
    axes = Constant <value_ints = [-1]> ()
    mean = ReduceMean (x, axes)
    centred = Sub (x, mean)
    square = Mul (centred, centred)
    variance = ReduceMean (square, axes)
    safe = Add (variance, epsilon)
    deviation = Sqrt (safe)
    y = Div (centred, deviation)
}"""


def by_hand(epsilon=1e-5):
    """A layer norm written as primitives."""
    return parse(BY_HAND, weights={"epsilon": np.float32(epsilon)})


def by_hand_behind_a_product():
    """A matrix product before that."""
    text = BY_HAND.replace("{", "{ i = MatMul (x, w)", 1)
    text = text.replace("ReduceMean (x,", "ReduceMean (i,").replace("Sub (x,", "Sub (i,")
    return parse(text, weights={"epsilon": np.float32(1e-5), "w": normal(64, 64)})


def perceptron(**changes):
    """Two linear layers with a layer norm between them."""
    weights = {
        "w": normal(16, 32),
        "b": normal(32, seed=1),
        "scale": 1 + normal(32, seed=2),
        "shift": normal(32, seed=3),
        "v": normal(32, 4, seed=4),
    }
    return parse(
        """(float[batch, 16] x) => (float[batch, 4] y) {
            h = MatMul (x, w)
            i = Add (h, b)
            n = LayerNormalization (i, scale, shift)
            r = Relu (n)
            y = MatMul (r, v)
        }""",
        weights=weights | changes,
    )


def inputs(*shape, scale=1.0, seed=5):
    """One feed of normally distributed numbers."""
    values = np.random.default_rng(seed).standard_normal(shape) * scale
    return {"x": values.astype(np.float32)}
