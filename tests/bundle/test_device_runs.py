"""On the CPU's memory: the mechanism is the same."""

import threading

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bundle.device_runs import Device, DeviceRuns
from tests.bundle.onnx_models import identity, model, value


class Driver:
    """Locks every page, and counts."""

    def __init__(self, *, can=True):
        self.can = can
        self.locked = {}

    def lock(self, address, size):
        if self.can:
            self.locked[address] = size
        return self.can

    def unlock(self, address):
        del self.locked[address]


def session(proto):
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def sum_and_product():
    nodes = [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Mul", ["a", "b"], ["p"])]
    return model(
        nodes,
        [value("a", ["n", 3]), value("b", ["n", 3])],
        [value("s", ["n", 3]), value("p", ["n", 3])],
    )


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture
def runs(driver):
    return DeviceRuns(session(sum_and_product()), Device("cpu", driver))


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_the_wanted_outputs_in_the_wanted_order(runs, rows):
    a, b = np.random.default_rng(0).normal(size=(2, rows, 3)).astype(np.float32)
    product, total = runs.run({"a": a, "b": b}, ["p", "s"], None)
    np.testing.assert_array_equal(product, a * b)
    np.testing.assert_array_equal(total, a + b)
    (total,) = runs.run({"a": a, "b": b}, ["s"], None)
    np.testing.assert_array_equal(total, a + b)


def test_arrays_that_are_not_contiguous(runs):
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    a, b = wide[:, ::2], wide[:, 1::2]
    (total,) = runs.run({"a": a, "b": b}, ["s"], None)
    np.testing.assert_array_equal(total, a + b)


@pytest.mark.parametrize(
    "element", [TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.DOUBLE]
)
@pytest.mark.parametrize("driver", [None, Driver()])
def test_every_type_that_numpy_has(element, driver):
    x = np.array([1, 0, 1], helper.tensor_dtype_to_np_dtype(element))
    (y,) = DeviceRuns(session(identity(element)), Device("cpu", driver)).run({"x": x}, ["y"], None)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_answers_stay_what_they_were_when_the_next_run_uses_the_same_memory(runs):
    ones, twos = np.full((2, 3), 1, np.float32), np.full((2, 3), 2, np.float32)
    (first,) = runs.run({"a": ones, "b": ones}, ["s"], None)
    runs.run({"a": twos, "b": twos}, ["s"], None)
    assert (first == 2).all()


def test_locked_memory_is_used_again_and_grows_with_the_largest_run(runs, driver):
    small, large = np.zeros((1, 3), np.float32), np.zeros((10_000, 3), np.float32)
    runs.run({"a": small, "b": small}, ["s"], None)
    runs.run({"a": small, "b": small}, ["s"], None)
    assert len(driver.locked) == 1
    runs.run({"a": large, "b": large}, ["s"], None)
    assert [*driver.locked.values()] == [size for size in driver.locked.values() if size >= 240_000]


def test_inputs_that_are_too_large_are_not_staged(driver):
    x = np.zeros(64 * 2**20 + 1, bool)
    runs = DeviceRuns(session(identity(TensorProto.BOOL)), Device("cpu", driver))
    (y,) = runs.run({"x": x}, ["y"], None)
    assert y.size == x.size
    assert not driver.locked


def test_memory_that_cannot_be_locked_changes_nothing():
    runs = DeviceRuns(session(identity()), Device("cpu", Driver(can=False)))
    (y,) = runs.run({"x": np.float32([1, 2])}, ["y"], None)
    assert y.tolist() == [1, 2]


def test_threads_have_memory_of_their_own(runs, driver):
    wrong = []

    def work(number):
        x = np.full((50, 3), number, np.float32)
        for _ in range(50):
            (total,) = runs.run({"a": x, "b": x}, ["s"], None)
            wrong.extend(total[total != 2 * number])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
