"""Nothing moves that the bits do not allow: in every tensor of every network of these tests."""

import numpy as np
import onnx
import pytest

from tests.bundle.checks.ordinary import ORDINARY
from tests.bundle.checks.reach.moves import unexplained, with_every_tensor_as_output
from tests.bundle.checks.traps import TRAPS

NETWORKS = {**ORDINARY, **{name: model for name, (_, model) in TRAPS.items()}}


def drawn(model, seed):
    generator = np.random.default_rng(seed)
    feeds = {}
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        shape = [5, *(d.dim_value or 8 for d in dimensions[1:])]
        element = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if element.kind == "f":
            feeds[value.name] = generator.normal(size=shape).astype(element)
        else:
            low, high = (1, 5) if len(shape) == 1 else (0, 2)
            feeds[value.name] = generator.integers(low, high, shape).astype(element)
    return feeds


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "random values"])
def test_nothing_moves_that_the_bits_do_not_allow(name):
    model = with_every_tensor_as_output(NETWORKS[name])
    found, unknown = unexplained(model, drawn(model, seed=1), drawn(model, seed=2))
    assert not unknown
    assert not found
