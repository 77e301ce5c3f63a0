"""Models that do what a file cannot do, or do it in a way that would make the proof worthless."""

import logging
import random

import numpy as np
import pytest
import torch
from torch import nn

from bundle import read_samples
from bundle.runtime import onnxruntime
from exporters import CheckFailed, DimensionInvalid, InputsInvalid, OutputsInvalid, export
from exporters.errors import RandomAtInference
from tests.exporters.networks import trained

torch.set_num_threads(1)


def answered(bundle, *arrays):
    session = onnxruntime.InferenceSession(str(bundle.model_path))
    feeds = zip((tensor.name for tensor in session.get_inputs()), arrays, strict=True)
    return session.run(None, dict(feeds))[0]


class InPlace(nn.Module):
    """Changes what it is given."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.mul_(2).add_(1))


def test_what_is_given_stays_as_it_is(tmp_path):
    given, more = torch.rand(2, 3, 5, 5), torch.rand(3, 3, 5, 5)
    before = given.clone(), more.clone()
    model = trained(InPlace(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))).eval()
    bundle = export(model, given, name="m", repository=str(tmp_path), reference_inputs=[(more,)])
    assert torch.equal(given, before[0])
    assert torch.equal(more, before[1])
    expected = model(given.clone()).detach().numpy()
    np.testing.assert_allclose(answered(bundle, given.numpy()), expected, atol=1e-5)
    manifest = bundle.manifest
    for sample in read_samples(bundle.path, manifest.inputs, manifest.outputs):
        largest = max(np.abs(array).max() for array in sample.inputs.values())
        assert largest <= 1


def test_a_file_that_is_wrong_is_refused_though_the_model_changes_its_input(tmp_path):
    # torch's converter drops the divisor
    model = InPlace(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, divisor_override=3)).eval()
    with pytest.raises(CheckFailed, match="does not compute what torch computes"):
        export(model, torch.rand(2, 3, 9, 9), name="m", repository=tmp_path)
    assert list(tmp_path.iterdir()) == []


class Chance(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.draw = draw
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) * self.draw()


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


@pytest.mark.parametrize(
    "model",
    [
        Chance(random.random),
        Chance(np.random.rand),
        Chance(lambda: random.choice([0.0, 1.0])),  # noqa: S311 - see above
        Counting(),
    ],
    ids=["Python", "NumPy", "skips", "state"],
)
def test_what_is_answered_differently_each_time_is_refused(tmp_path, model):
    with pytest.raises(RandomAtInference, match="differently each time: output 'output' by up to"):
        export(model.eval(), torch.randn(2, 4), name="m", repository=tmp_path)
    assert list(tmp_path.iterdir()) == []


class LooksAtTypes(nn.Module):
    """Computes something else in float64, which is then no reference."""

    def __init__(self, pool):
        super().__init__()
        self.linear = nn.Conv2d(3, 3, 1)
        self.pool = pool

    def forward(self, x):
        return self.pool(self.linear(x)) + (1.0 if x.dtype == torch.float64 else 0.0)


def test_a_reference_that_is_none_is_not_used(tmp_path):
    x = torch.rand(2, 3, 6, 6)
    bundle = export(LooksAtTypes(nn.AvgPool2d(2)).eval(), x, name="m", repository=tmp_path)
    (finding,) = [f for f in bundle.manifest.findings if f.check == "eval-parity"]
    assert finding.status == "warn"
    assert "torch's own result" in finding.meaning
    assert finding.tolerance.atol < 1e-3
    wrong = LooksAtTypes(nn.AvgPool2d(2, divisor_override=3)).eval()
    with pytest.raises(CheckFailed, match="does not compute what torch computes"):
        export(wrong, x, name="wrong", repository=tmp_path)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x, mask):
        return self.encoder(x, src_key_padding_mask=mask)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # of the eager model itself
def test_an_encoder_takes_a_padding_mask(tmp_path):
    x, mask = torch.randn(3, 5, 8), torch.arange(5)[None] >= torch.tensor([[5], [3], [2]])
    model = Padded().eval()
    bundle = export(model, (x, mask), name="m", repository=tmp_path)
    assert torch.backends.mha.get_fastpath_enabled()
    assert max(tolerance.atol for tolerance in bundle.manifest.tolerances.values()) < 1e-3
    with torch.no_grad():
        expected = model(x, mask).numpy()
    seen = ~mask.numpy()
    np.testing.assert_allclose(
        answered(bundle, x.numpy(), mask.numpy())[seen], expected[seen], atol=1e-5
    )


class GivesNothingBack(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(x)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()


def test_a_model_whose_train_gives_nothing_back_is_exported(tmp_path):
    model = GivesNothingBack()
    model.eval()
    export(model, torch.randn(2, 4), name="m", repository=tmp_path)


class Standardized(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))
        self.register_buffer("std", torch.rand(1, 3, 1, 1) + 0.5)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv((x - self.mean) / self.std)


class WrittenOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = self.linear(x)
        variance = y.var(-1, keepdim=True, unbiased=False)
        return (y - y.mean(-1, keepdim=True)) / torch.sqrt(variance + 1e-5)


@pytest.mark.parametrize(
    ("model", "x", "kind", "op"),
    [
        (Standardized(), torch.rand(2, 3, 8, 8), "scale and shift", "BatchNormalization"),
        (WrittenOut(), torch.randn(2, 6), "written-out norm", "LayerNormalization"),
    ],
    ids=["scale and shift", "layer norm"],
)
def test_norms_that_are_written_out_are_in_the_census(tmp_path, model, x, kind, op):
    bundle = export(model.eval(), x, name="m", repository=tmp_path)
    (norm,) = bundle.manifest.norms
    assert (norm.kind, norm.fate, norm.op) == (kind, "kept", op)


class EnormousNet(nn.Sequential):
    pass


class NormFreeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x)


class NormalizerNetwork(NormFreeNet):
    pass


@pytest.mark.parametrize(
    "model", [EnormousNet(nn.Linear(4, 4)), NormFreeNet(), NormalizerNetwork()], ids=repr
)
def test_a_network_is_no_norm_whatever_it_is_called(tmp_path, model):
    assert (
        export(model.eval(), torch.randn(2, 4), name="m", repository=tmp_path).manifest.norms == ()
    )


class Siamese(nn.Module):
    """Puts two inputs into one batch, and takes them apart again."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 4)

    def forward(self, a, b):
        first, second = self.encoder(torch.cat([a, b])).chunk(2)
        return (first * second).sum(-1)


def test_rows_that_are_put_together_and_taken_apart_can_be_allowed(tmp_path):
    inputs = torch.randn(2, 4), torch.randn(2, 4)
    with pytest.raises(CheckFailed, match="a row's answer may not be its own"):
        export(Siamese().eval(), inputs, name="m", repository=tmp_path)
    allowed = ["batch-invariance"]
    bundle = export(Siamese().eval(), inputs, name="m", repository=tmp_path, allow=allowed)
    (finding,) = [f for f in bundle.manifest.findings if f.check == "batch-invariance"]
    assert "taken apart again" in finding.remedy
    assert bundle.manifest.certificate.verdict == "dependent"


def test_warnings_are_logged_where_nobody_is_told_of_the_progress(tmp_path, caplog):
    model, x = LooksAtTypes(nn.Identity()).eval(), torch.rand(2, 3, 6, 6)
    with caplog.at_level(logging.WARNING, "exporters"):
        export(model, x, name="m", repository=tmp_path)
        assert "m: eval-parity: output 'output' agrees with torch's own result" in caplog.text
        caplog.clear()
        export(model, x, name="n", repository=tmp_path, progress=lambda stage: None)
    assert caplog.text == ""


class Timed(nn.Module):
    def forward(self, x, t):
        return nn.functional.layer_norm(x, (4,)) * t


def test_one_of_something_beside_a_batch_is_for_all_rows(tmp_path):
    inputs = torch.randn(2, 4), torch.rand(1)
    bundle = export(Timed().eval(), inputs, name="m", repository=tmp_path)
    assert [spec.shape for spec in bundle.manifest.inputs] == [("batch", 4), (1,)]


def test_one_row_beside_one_of_something_is_told_apart_by_who_exports(tmp_path):
    inputs = torch.randn(1, 4), torch.rand(1, 1, 1)

    class Stacked(nn.Module):
        def forward(self, x, t):
            return torch.bmm(t, x[None])[0] + x

    with pytest.raises(DimensionInvalid, match=r"'batch' \(axis 0 of 'x', axis 0 of 't'\)"):
        export(Stacked().eval(), inputs, name="m", repository=tmp_path)


def test_an_example_without_rows_is_refused(tmp_path):
    with pytest.raises(
        DimensionInvalid, match=r"has nothing in the example, whose shape is \(0, 4\)"
    ):
        export(nn.Linear(4, 4).eval(), torch.randn(0, 4), name="m", repository=tmp_path)


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (torch.Tensor.to_sparse, "sparse_coo tensor"),
        (lambda x: torch.nested.as_nested_tensor(list(x)), "nested tensor"),
    ],
    ids=["sparse", "nested"],
)
@pytest.mark.filterwarnings("ignore")  # torch's own about nested tensors
def test_an_output_that_is_not_dense_is_refused(tmp_path, make, said):
    with pytest.raises((InputsInvalid, OutputsInvalid), match=said):
        export(Returns(make).eval(), torch.randn(2, 4), name="m", repository=tmp_path)


def test_a_precision_may_be_a_word_and_there_is_no_other(tmp_path):
    model, x = nn.Linear(4, 4).eval(), torch.randn(2, 4)
    bundle = export(model, x, name="m", repository=tmp_path, precision="fp16")
    assert bundle.manifest.conversion.precision == "fp16"
    with pytest.raises(ValueError, match="fp61"):
        export(model, x, name="n", repository=tmp_path, precision="fp61")
