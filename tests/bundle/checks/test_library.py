from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from bundle.checks import Subject, checks, run_checks
from tests.bundle.checks.ordinary import ORDINARY
from tests.bundle.checks.texts import parse
from tests.bundle.checks.traps import TRAPS

GOOD = ORDINARY["a residual network"]
RANDOM = TRAPS["random values"][1]


def found(name, subject):
    (finding,) = run_checks(subject, [name])
    assert finding.check == name
    return finding


@pytest.mark.parametrize("name", sorted(checks()))
def test_an_ordinary_network_passes(name):
    finding = found(name, Subject(model=GOOD))
    assert finding.status == "pass", finding.meaning
    assert finding.tolerance is not None
    assert finding.measured is not None
    assert not finding.remedy


@pytest.mark.parametrize("name", ["determinism", "batch-invariance"])
def test_a_random_operator_fails(name):
    finding = found(name, Subject(model=RANDOM))
    assert finding.status == "fail"
    assert finding.remedy


def test_a_file_is_run_again_in_a_new_process(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save_model(GOOD, path)
    assert found("determinism", Subject(model=path)).status == "pass"


def test_dependence_fails_with_the_operator_in_the_meaning():
    finding = found("batch-invariance", Subject(model=TRAPS["a Gram matrix"][1]))
    assert finding.status == "fail"
    assert "MatMul" in finding.meaning
    assert finding.measured is not None
    assert finding.measured > finding.tolerance.atol


def test_a_model_without_a_batch_is_not_judged():
    model = parse("(float[4, 3] x) => (float[4, 3] y) { y = Relu (x) }")
    finding = found("batch-invariance", Subject(model=model))
    assert finding.status == "not_applicable"
    assert "fixed to 4" in finding.meaning


class Wrapped:
    """A model that is off by some amount."""

    def __init__(self, opened, off):
        self.opened, self.off = opened, off
        self.inputs, self.outputs = opened.inputs, opened.outputs

    def run(self, feeds, outputs=None):
        return {name: a + np.float32(self.off) for name, a in self.opened.run(feeds).items()}


@dataclass(frozen=True, kw_only=True)
class Tampered(Subject):
    """A subject whose sessions are off with several threads, or without optimizations."""

    off: float

    def open(self, *, threads=None, optimize=True):
        opened = Subject.open(self, threads=threads, optimize=optimize)
        is_other = (threads or 1) > 1 or not optimize
        return Wrapped(opened, self.off if is_other else 0.0)


@pytest.mark.parametrize("name", ["optimization-parity", "threads-parity"])
@pytest.mark.parametrize(("off", "status"), [(1e-9, "pass"), (1e-2, "fail")])
def test_two_ways_of_running_agree_within_rounding_or_fail(name, off, status):
    finding = found(name, Tampered(model=GOOD, off=off))
    assert finding.status == status
    assert finding.measured == pytest.approx(off, abs=1e-5)


def test_integers_must_agree_exactly():
    model = parse("(float[batch, 4] x) => (int64[batch] y) { y = ArgMax <axis=1, keepdims=0> (x) }")
    for finding in run_checks(Subject(model=model)):
        assert finding.status == "pass"
        assert finding.measured == 0
