import numpy as np
import pytest

from bundle import open_model
from bundle.checks import Subject, run_checks
from bundle.checks.library import provider_parity
from bundle.providers import CPU, CUDA
from tests.bundle.checks.ordinary import ORDINARY
from tests.bundle.checks.texts import parse
from tests.bundle.checks.traps import TRAPS
from tests.bundle.gpu import Gpu, Outcome
from tests.bundle.precision.models import inputs, perceptron


class Off:
    """A provider that is off by some part of each value, and moves by some noise."""

    def __init__(self, model, *, relative=0.0, noise=0.0):
        self.opened = open_model(model)
        self.relative, self.noise = relative, noise
        self.generator = np.random.default_rng(0)

    def run(self, feeds):
        return {
            name: array * np.float32(1 + self.relative)
            + np.float32(self.noise * self.generator.standard_normal(array.shape))
            for name, array in self.opened.run(feeds).items()
        }


def judged(providers, model=None, **options):
    model = model or perceptron()
    subject = Subject(model=model, inputs=(inputs(4, 16),), **options)
    return provider_parity.findings(
        subject, {name: Off(model, **how) for name, how in providers.items()}
    )


def test_the_cpu_agrees_with_float64_and_repeats_itself():
    (finding,) = run_checks(Subject(model=perceptron()), ["provider-parity"])
    assert finding.status == "pass"
    assert finding.measured < finding.tolerance.atol
    assert "runs repeat" in finding.meaning


def test_each_provider_has_a_finding_of_its_own():
    cpu, gpu = judged({CPU: {}, CUDA: {"relative": 1e-7}})
    assert cpu.status == gpu.status == "pass"
    assert CUDA in gpu.meaning


def test_tf32_is_named_where_an_error_has_its_size_on_cuda():
    _, gpu = judged({CPU: {}, CUDA: {"relative": 1e-3}})
    assert gpu.status == "fail"
    assert "TF32" in gpu.meaning
    assert "NVIDIA_TF32_OVERRIDE" in gpu.remedy


@pytest.mark.parametrize("relative", [1e-5, 0.3])
def test_tf32_is_not_named_where_the_size_is_another(relative):
    _, gpu = judged({CPU: {}, CUDA: {"relative": relative}})
    assert gpu.status == "fail"
    assert "TF32" not in gpu.meaning


def test_the_cpu_that_is_far_off_fails_and_nobody_speaks_of_tf32():
    (finding,) = judged({CPU: {"relative": 0.05}})
    assert finding.status == "fail"
    assert "TF32" not in finding.meaning
    assert "normserve diagnose" in finding.remedy


def test_a_little_more_than_rounding_on_the_cpu_is_a_warning_for_either_may_be_wrong():
    (finding,) = judged({CPU: {"relative": 1e-3}})
    assert finding.status == "warn"


def test_a_model_that_was_proved_against_torch_only_warns_on_the_cpu(scaling):
    _, manifest, _ = scaling
    (finding,) = judged({CPU: {"relative": 0.05}}, manifest=manifest)
    assert finding.status == "warn"


def test_noise_beyond_the_tolerance_is_told_before_anything_is_concluded():
    (finding,) = judged({CPU: {"noise": 0.01}})
    assert finding.status == "fail"
    assert "nothing can be judged" in finding.meaning
    assert "determinism" in finding.remedy


def test_noise_below_the_tolerance_is_reported():
    (finding,) = judged({CPU: {"noise": 1e-8}})
    assert finding.status == "pass"
    assert "from run to run" in finding.meaning


def test_a_provider_that_gives_nan_fails_whatever_its_finite_values():
    finding = judged({CPU: {}, CUDA: {"relative": np.nan}})[1]
    assert finding.status == "fail"
    assert "nan" in finding.meaning


def test_integers_are_those_of_the_first_provider():
    model = parse("(float[b, 4] x) => (int64[b] y) { y = ArgMax <axis = 1, keepdims = 0> (x) }")
    (finding,) = run_checks(Subject(model=model), ["provider-parity"])
    assert finding.status == "pass"
    assert finding.measured == 0


def test_a_graph_that_quantizes_may_be_off_by_a_few_of_its_steps():
    (finding,) = run_checks(Subject(model=ORDINARY["static quantization"]), ["provider-parity"])
    assert finding.status == "pass"
    assert "4 steps of int8" in finding.tolerance.source


def test_where_the_two_implementations_disagree_the_operator_is_named():
    subject = Subject(model=ORDINARY["a recurrence over lengths"])
    (finding,) = run_checks(subject, ["provider-parity"])
    assert finding.status == "warn"
    assert "GRU" in finding.meaning


def test_a_random_model_fails():
    (finding,) = run_checks(Subject(model=TRAPS["random values"][1]), ["provider-parity"])
    assert finding.status == "fail"


def test_a_gpu_is_compared_too(monkeypatch):
    Gpu({CUDA: Outcome.STARTS}).install(monkeypatch)
    on_cpu, on_gpu = run_checks(Subject(model=perceptron()), ["provider-parity"])
    assert (on_cpu.status, on_gpu.status) == ("pass", "pass")
    assert CUDA in on_gpu.meaning


@pytest.mark.parametrize(
    ("outcome", "light", "says"),
    [
        (Outcome.FALLS_BACK, (), "did not start"),
        (Outcome.REFUSES, (), "cannot compile"),
        (Outcome.STARTS, ("Gemm", "FusedGemm", "MatMul"), "requires CUDA"),
    ],
)
def test_a_gpu_that_cannot_be_tried_is_told(monkeypatch, outcome, light, says):
    Gpu({CUDA: outcome}, light=light).install(monkeypatch)
    on_cpu, on_gpu = run_checks(Subject(model=perceptron()), ["provider-parity"])
    assert (on_cpu.status, on_gpu.status) == ("pass", "not_applicable")
    assert says in on_gpu.meaning
