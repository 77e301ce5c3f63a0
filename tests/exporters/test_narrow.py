"""Exports in fp16 and int8: what is proved, what is recorded, what is refused."""

from collections import Counter

import onnx
import pytest
import torch
from torch import nn

import exporters
from bundle import open_model, read_bundle, read_samples, replay
from bundle.certificate import Verdict
from bundle.precision import Precision
from exporters import CheckFailed, InputsInvalid
from tests.exporters.networks import trained

torch.set_num_threads(1)


class Residual(nn.Module):
    """Convolutions with batch norms that fold, one of a tiny variance, and a group norm."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.norm = nn.GroupNorm(4, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, pixels):
        hidden = self.stem(pixels)
        hidden = self.norm(torch.relu(hidden + self.body(hidden)))
        return self.head(hidden.mean((2, 3)))


class Transformer(nn.Module):
    """One block, as an encoder has it, of tokens."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 32)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.head = nn.Linear(32, 20)

    def forward(self, tokens):
        return self.head(self.block(self.embedding(tokens)))


def residual():
    torch.manual_seed(0)
    model = trained(Residual()).eval()
    channel = model.stem[1]
    channel.running_var[0] = 1e-9  # its scale is beyond fp16 where it is not folded
    with torch.no_grad():
        model.stem[0].weight[0] *= 1e-4
        model.stem[0].bias[0] = channel.running_mean[0]
    generator = torch.Generator().manual_seed(1)
    return model, [torch.rand(n, 3, 12, 12, generator=generator) for n in (8, 16, 4)]


def transformer():
    torch.manual_seed(0)
    model = trained(Transformer()).eval()
    generator = torch.Generator().manual_seed(1)
    return model, [torch.randint(0, 20, (n, 6), generator=generator) for n in (8, 16, 4)]


NETWORKS = {"residual": residual, "transformer": transformer}


def export(model, calls, repository, precision, **options):
    return exporters.export(
        model,
        calls[0],
        name="net",
        repository=repository,
        reference_inputs=calls,
        precision=precision,
        **options,
    )


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return NETWORKS[request.param]()


@pytest.fixture(scope="module", params=[Precision.FP16, Precision.INT8])
def precision(request):
    return request.param


@pytest.fixture(scope="module")
def bundle(network, precision, tmp_path_factory):
    return export(*network, tmp_path_factory.mktemp("repository"), precision)


def operators(bundle):
    return Counter(node.op_type for node in onnx.load_model(bundle.model_path).graph.node)


def test_the_file_is_in_the_precision_and_its_ends_are_as_before(bundle, precision):
    model = onnx.load_model(bundle.model_path)
    types = {tensor.data_type for tensor in model.graph.initializer}
    assert precision.datatype.onnx in types
    assert bundle.manifest.inputs == open_model(bundle.model_path).inputs
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_the_manifest_says_how_it_was_made_and_what_it_loses(bundle, precision):
    conversion = read_bundle(bundle.path).manifest.conversion
    assert conversion.precision == precision
    assert 0 < conversion.loss <= conversion.max_loss
    assert len(conversion.calibration_sha256) == 64
    rows = (21, 7) if precision is Precision.INT8 else (28, 0)
    assert (conversion.calibration_rows, conversion.held_out_rows) == rows
    found = {finding.check: finding.status for finding in bundle.manifest.findings}
    assert found["precision-loss"] == "pass"
    assert found["precision-parity"] == "pass"
    assert "fail" not in found.values()


def test_torchs_answers_replay_within_the_stated_loss(bundle, precision):
    manifest = bundle.manifest
    samples = read_samples(bundle.path, manifest.inputs, manifest.outputs)
    opened = open_model(bundle.model_path)
    assert all(each.passed for each in replay(opened, samples, manifest.tolerances))
    assert all(str(precision) in t.source for t in manifest.tolerances.values())


def test_rows_may_share_a_batch(bundle):
    certificate = bundle.manifest.certificate
    assert certificate.verdict in (Verdict.BITWISE, Verdict.WITHIN_NOISE)
    allowed = [t.atol for t in certificate.tolerances.values()]
    stated = [t.atol for t in bundle.manifest.tolerances.values()]
    assert max(allowed) < min(stated)  # what a precision loses is no noise between neighbours


def test_the_report_shows_the_precision(bundle, precision):
    page = (bundle.path / "report.html").read_text()
    assert f"{precision}, after the proof in float32" in page
    assert bundle.manifest.conversion.calibration_sha256 in page


def test_normalizations_stay_float_in_int8(tmp_path):
    model, calls = transformer()
    made = export(model, calls, tmp_path, Precision.INT8)
    graph = onnx.load_model(made.model_path).graph
    producers = {output: node for node in graph.node for output in node.output}
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    assert len(norms) == 2
    for node in norms:
        assert all(
            producers[name].op_type != "DequantizeLinear"
            for name in node.input
            if name in producers
        )
    assert operators(made)["DynamicQuantizeLinear"] == 0


def test_a_group_norm_is_lowered_in_int8_and_the_manifest_says_so(tmp_path):
    made = export(*residual(), tmp_path, Precision.INT8)
    assert made.manifest.group_norm == "lowered"
    assert operators(made)["GroupNormalization"] == 0


def test_batch_norms_are_folded_before_narrowing(tmp_path):
    made = export(*residual(), tmp_path, Precision.FP16)
    assert operators(made)["BatchNormalization"] == 0
    assert made.manifest.conversion.loss < 0.01


def test_a_loss_that_is_too_large_writes_nothing(tmp_path):
    with pytest.raises(CheckFailed, match="precision-loss"):
        export(*residual(), tmp_path, Precision.INT8, max_loss=1e-5)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_allowed_by_name_is_recorded(tmp_path):
    model, calls = residual()
    made = export(
        model,
        calls,
        tmp_path,
        Precision.FP16,
        max_loss=1e-9,
        allow=["precision-loss"],
    )
    assert made.manifest.allowed == ("precision-loss",)
    assert made.manifest.conversion.max_loss == 1e-9


def test_int8_without_real_inputs_is_refused(tmp_path):
    model, calls = residual()
    with pytest.raises(InputsInvalid, match="int8 takes reference_inputs"):
        exporters.export(model, calls[0], name="net", repository=tmp_path, precision=Precision.INT8)


@pytest.mark.parametrize("max_loss", [0.0, -1.0, 1.5])
def test_a_bound_that_is_no_part_is_refused(max_loss, tmp_path):
    with pytest.raises(InputsInvalid, match="part of the largest value"):
        export(*residual(), tmp_path, Precision.FP16, max_loss=max_loss)


def test_a_bound_without_a_precision_is_refused(tmp_path):
    with pytest.raises(InputsInvalid, match="belongs to a precision"):
        export(*residual(), tmp_path, None, max_loss=0.1)
