"""The rules against ONNX's own operator tests: some for each operator, made into batches."""

import collections
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bundle import BundleError, open_model
from tests.bundle.checks.reach.moves import unexplained

ROWS = 5
EACH = 8
RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"}
WITHOUT_A_RULE = {
    # losses and sequences: taken to keep rows apart, and left to the trials
    *("ConcatFromSequence", "NegativeLogLikelihoodLoss", "SequenceConstruct", "SequenceLength"),
    *("SoftmaxCrossEntropyLoss", "SplitToSequence"),
    # experimental, and its function's types cannot be inferred
    *("CausalConvWithState", "LinearAttention"),
}


def batched(case):
    """A case's model with axis 0 of its first input as batch, and two batches; None without one."""
    inputs = case.data_sets[0][0]
    names = [value.name for value in case.model.graph.input]
    if not all(isinstance(given, np.ndarray | np.generic) for given in inputs):
        return None  # sequences
    feeds = {n: np.asarray(v) for n, v in zip(names, inputs, strict=False)}
    first = feeds[names[0]] if names and names[0] in feeds else np.zeros(())
    if first.ndim == 0 or not all(array.size for array in feeds.values()):
        return None
    if any(array.dtype.kind not in "biuf" for array in feeds.values()):
        return None
    together = [
        n
        for n, array in feeds.items()
        if n == names[0]
        or (array.shape[:1] == first.shape[:1] != (1,) and array.dtype == first.dtype)
    ]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    kept = [value for value in model.graph.input if value.name in together]
    if not all(value.type.tensor_type.shape.dim for value in kept):
        return None
    for value in kept:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, n) for n, array in feeds.items() if n not in together
    )
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    rows = {n: feeds[n][np.arange(ROWS) % len(feeds[n])] for n in together}
    other = {
        n: np.roll(array[:, ::-1] if array.ndim > 1 else array, 1, 0) for n, array in rows.items()
    }
    return model, rows, other


@pytest.fixture(scope="module")
def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making the tests divides by zero here and there
        from onnx.backend.test.case.node import collect_testcases

        every = collect_testcases(None)
    chosen = collections.defaultdict(list)
    for case in every:
        kind = case.model.graph.node[0].op_type
        if kind not in RANDOM and "_expanded" not in case.name and len(chosen[kind]) < EACH:
            made = batched(case)
            if made is not None and runs(*made):
                chosen[kind].append((case.name, made))
    return chosen


def runs(model, rows, _):
    try:
        opened = open_model(model)
        opened.run(rows)
        opened.run({name: array[:3] for name, array in rows.items()})
    except BundleError:
        return False
    return True


def test_nothing_moves_that_a_rule_does_not_allow(cases):
    assert len(cases) > 120
    wrong = {}
    unknown = set()
    for made in cases.values():
        for name, (model, rows, other) in made:
            found, strange = unexplained(model, rows, other)
            unknown |= {operator.op_type for operator in strange}
            if found:
                wrong[name] = found
    assert not wrong
    assert unknown <= WITHOUT_A_RULE
