import copy
import random
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.export import Dim

import exporters
from bundle import (
    BundleExists,
    DimensionRange,
    find_versions,
    open_model,
    read_bundle,
    read_samples,
    replay,
)
from bundle.checks import checks
from exporters import (
    BatchStatistics,
    CheckFailed,
    ConversionFailed,
    DimensionInvalid,
    InputsInvalid,
    OpsetUnsupported,
    OutputsInvalid,
)
from exporters.checks import TORCH_CHECKS
from exporters.graph import optimize
from tests.exporters.networks import (
    BatchStatisticsByHand,
    ConvNet,
    Inside,
    StuckInTraining,
    trained,
)

torch.set_num_threads(1)
ROWS = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))


def export(model, example, repository, **options):
    return exporters.export(model, example, name="net", repository=repository, **options)


@pytest.fixture(scope="module")
def convnet():
    return trained(ConvNet()).eval()


@pytest.fixture(scope="module")
def calls():
    """Two reference inputs of different batch sizes, and an example of one row."""
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(n, 3, 8, 8, generator=generator) for n in (1, 4, 2)]


@pytest.fixture(scope="module")
def bundle(convnet, calls, tmp_path_factory):
    return export(
        convnet,
        calls[0],
        tmp_path_factory.mktemp("repository"),
        dynamic_shapes={"pixels": {0: "batch", 2: Dim("height", min=4, max=64), 3: "width"}},
        output_names=["features"],
        reference_inputs=calls[1:],
        source="tests:convnet",
        checkpoint_sha256="0" * 64,
    )


def test_a_bundle_reads_back_with_every_digest_right(bundle):
    assert read_bundle(bundle.path) == bundle


def test_dimensions_keep_their_names_in_the_file_and_in_the_manifest(bundle):
    graph = onnx.load(bundle.model_path).graph
    dims = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]

    assert dims == ["batch", 3, "height", "width"]
    assert [str(spec) for spec in bundle.manifest.inputs] == [
        "pixels: FP32 (batch, 3, height, width)"
    ]
    assert bundle.manifest.outputs[0].name == "features"
    assert bundle.manifest.outputs[0].shape[:2] == ("batch", 8)


def test_declared_ranges_are_in_the_manifest(bundle):
    assert bundle.manifest.dimensions == {
        "batch": DimensionRange(),
        "height": DimensionRange(minimum=4, maximum=64),
        "width": DimensionRange(),
    }


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_a_bundle_from_one_row_serves_any_number_of_rows(bundle, convnet, rows):
    x = torch.rand(rows, 3, 9, 7)

    got = open_model(bundle.model_path).run({"pixels": x.numpy()})["features"]

    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(got), convnet(x), rtol=0, atol=1e-5)


def test_golden_samples_are_the_reference_inputs_with_torchs_answers(bundle, convnet, calls):
    samples = read_samples(bundle.path, bundle.manifest.inputs, bundle.manifest.outputs)

    assert len(samples) == len(calls[1:])
    for sample, x in zip(samples, calls[1:], strict=True):
        assert np.array_equal(sample.inputs["pixels"], x.numpy())
        assert np.array_equal(sample.outputs["features"], convnet(x).detach().numpy())


def test_golden_samples_replay_within_the_manifests_tolerances(bundle):
    manifest = bundle.manifest
    samples = read_samples(bundle.path, manifest.inputs, manifest.outputs)

    compared = replay(open_model(bundle.model_path), samples, manifest.tolerances)

    assert all(comparison.passed for comparison in compared)


def test_provenance_says_what_was_exported_with_what(bundle):
    provenance = bundle.manifest.provenance

    assert (provenance.source, provenance.opset) == ("tests:convnet", 23)
    assert provenance.checkpoint_sha256 == "0" * 64
    assert {"torch", "onnx", "onnxruntime", "onnxscript", "onnx-ir"} <= provenance.versions.keys()


def test_statistics_that_a_fold_removes_are_in_the_manifest(bundle, convnet):
    (norm,) = bundle.manifest.norms

    assert (norm.name, norm.kind, norm.fate, norm.op) == ("bn", "BatchNorm2d", "folded", "Conv")
    assert norm.statistics.mean == pytest.approx(convnet.bn.running_mean.tolist())
    assert norm.statistics.scale == pytest.approx(convnet.bn.weight.tolist())
    assert norm.statistics.epsilon == convnet.bn.eps


def test_input_statistics_are_taken_over_the_reference_inputs(bundle, convnet, calls):
    (norm,) = bundle.manifest.norms
    with torch.no_grad():
        seen = torch.cat([convnet.conv(x).flatten() for x in calls[1:]]).double()

    assert norm.input_statistics.mean == pytest.approx(float(seen.mean()))
    assert norm.input_statistics.std == pytest.approx(float(seen.std(correction=0)))
    assert norm.input_statistics.maximum == pytest.approx(float(seen.max()))


def test_every_check_of_a_sound_model_passes(bundle):
    assert {f.status for f in bundle.manifest.findings} <= {"pass", "not_applicable"}
    assert bundle.manifest.certificate.verdict in ("bitwise", "within-noise")
    assert {finding.check for finding in bundle.manifest.findings} == {
        *TORCH_CHECKS.checks,
        *checks(),
    }


def test_the_file_holds_no_paths_of_this_machine(bundle):
    content = bundle.model_path.read_bytes()

    assert b"site-packages" not in content
    assert b".py" not in content
    assert onnx.load(bundle.model_path).producer_name == "normserve"


def test_nodes_are_named_after_their_modules(bundle):
    graph = onnx.load(bundle.model_path).graph

    assert [node.name for node in graph.node] == ["conv/Conv"]
    assert {"conv.weight", "conv.bias"} <= {tensor.name for tensor in graph.initializer}


def test_the_report_is_self_contained_and_shows_the_norms(bundle):
    page = (bundle.path / "report.html").read_text()

    assert "BatchNorm2d" in page
    assert "into Conv &#39;conv/Conv&#39;" in page
    assert not any(outside in page for outside in ("http:", "https:", "src=", "@import"))


def test_exporting_twice_gives_the_same_file(convnet, calls, tmp_path):
    first = export(convnet, calls[0], tmp_path / "a")
    second = export(convnet, calls[0], tmp_path / "b")

    assert first.model_path.read_bytes() == second.model_path.read_bytes()


@dataclass
class Answer:
    logits: torch.Tensor
    states: tuple = ()


class Various(nn.Module):
    """Keyword inputs, a nested input, a constant, and every kind of output."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(3.0))

    def forward(self, ids, *, extra, flag=False):
        hidden = self.table[ids] * extra["scale"][0]
        states = (ids, {"large": hidden > 1}) if flag else ()
        return Answer(hidden, (*states, hidden, self.table))


def test_keyword_inputs_and_dataclass_outputs_become_named_tensors(tmp_path):
    example = {
        "ids": torch.tensor([[0, 1, 2, 1]]),
        "extra": {"scale": [torch.rand(1, 4)]},
        "flag": True,
    }

    made = export(
        Various(),
        example,
        tmp_path,
        dynamic_shapes={
            "ids": {0: "batch", 1: "length"},
            "extra": {"scale": [("batch", "length")]},
        },
    )

    assert [str(spec) for spec in made.manifest.inputs] == [
        "ids: INT64 (batch, length)",
        "extra_scale_0: FP32 (batch, length)",
    ]
    assert [str(spec) for spec in made.manifest.outputs] == [
        "logits: FP32 (batch, length)",
        "states_0: INT64 (batch, length)",
        "states_1_large: BOOL (batch, length)",
        "states_2: FP32 (batch, length)",
        "states_3: FP32 (3)",
    ]


def test_an_output_named_like_an_input_gets_another_name(tmp_path):
    class Echo(nn.Module):
        def forward(self, x):
            return {"x": x, "twice": x * 2}

    made = export(Echo(), ROWS, tmp_path)

    assert [spec.name for spec in made.manifest.outputs] == ["x_output", "twice"]


def test_names_that_clash_with_weights_and_nodes_are_kept(tmp_path):
    made = export(nn.Linear(3, 3), ROWS, tmp_path, input_names=["weight"], output_names=["linear"])

    assert [s.name for s in (*made.manifest.inputs, *made.manifest.outputs)] == ["weight", "linear"]


def test_what_the_model_returns_beside_tensors_is_said(tmp_path):
    class Cache:
        pass

    class WithCache(nn.Module):
        def forward(self, x):
            return {"logits": x * 2, "cache": Cache()}

    made = export(WithCache(), ROWS, tmp_path)

    (finding,) = [f for f in made.manifest.findings if f.check == "outputs"]
    assert finding.status == "warn"
    assert "cache (Cache)" in finding.meaning


def everything_of(model):
    """All of a model's state that an export could change."""
    tensors = {
        name: tensor.detach().clone()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    modes = {name: module.training for name, module in model.named_modules()}
    hooks = {name: tuple(module._forward_hooks) for name, module in model.named_modules()}  # noqa: SLF001 - torch has no other list
    grads = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    return tensors, modes, hooks, grads, {name: type(m) for name, m in model.named_modules()}


@pytest.mark.parametrize("fails", [False, True])
def test_the_users_model_and_process_stay_as_they_were(fails, tmp_path):
    model = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
        nn.BatchNorm2d(4, track_running_stats=not fails),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.Dropout(),
    )
    model[0].parametrizations.weight.original.requires_grad_(False)
    model[3].eval()
    model[1].register_forward_hook(lambda module, args, output: output * 1)
    pixels = torch.rand(1, 3, 8, 8, requires_grad=True)
    before = copy.deepcopy(everything_of(model))
    torch.manual_seed(3)
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002

    if fails:
        with pytest.raises(BatchStatistics):
            export(model, pixels, tmp_path)
    else:
        export(model, pixels, tmp_path)

    after = everything_of(model)
    assert after[1:] == before[1:]
    assert after[0].keys() == before[0].keys()
    assert all(torch.equal(after[0][name], tensor) for name, tensor in before[0].items())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert np.array_equal(np.random.get_state()[1], generators[2])  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32
    assert pixels.requires_grad
    assert pixels.grad is None


def raising(x):
    message = "no such luck"
    raise LookupError(message)


class Raises(nn.Module):
    def forward(self, x):
        return raising(x)


class Loops(nn.Module):
    def forward(self, x):
        for step in range(x.shape[1]):
            x = x + step
        return x


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Complex(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x)


def test_what_cannot_be_traced_is_told_in_the_error_alone(tmp_path, capfd):
    with pytest.raises(ConversionFailed):
        export(Branches(), ROWS, tmp_path)

    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("model", "options", "error", "said"),
    [
        (nn.Linear(3, 3), {"opset": 17}, OpsetUnsupported, r"opset 17 .* 18, 19, 20, 21, 22, 23"),
        (nn.Linear(3, 3), {"opset": 26}, OpsetUnsupported, "opset 26"),
        (nn.Linear(3, 3), {"output_names": ["a", "b"]}, OutputsInvalid, "got 2 output names"),
        (nn.Linear(3, 3), {"output_names": ["input"]}, OutputsInvalid, "no input's"),
        (nn.Linear(3, 3), {"version": 0}, InputsInvalid, "version 0"),
        (nn.Linear(3, 3), {"reference_inputs": [(ROWS, ROWS)]}, InputsInvalid, "like the example"),
        (nn.Linear(4, 3), {}, InputsInvalid, "raises on the example inputs in eval mode"),
        (Raises(), {}, InputsInvalid, "LookupError: no such luck"),
        (Complex(), {}, OutputsInvalid, "output 'output' is complex64"),
        (Branches(), {}, ConversionFailed, r"data-dependent.*in forward, line \d+ of test_export"),
        (
            Loops(),
            {"dynamic_shapes": {"x": {1: "length"}}},
            DimensionInvalid,
            r"dimension 'length' \(axis 1 of 'x'\) is always 3",
        ),
        (StuckInTraining(), {}, InputsInvalid, "raises on the example"),
        (
            Inside(BatchStatisticsByHand()),
            {},
            BatchStatistics,
            r"'body\.1' reduces over the batch axis, and a row's answer moved by",
        ),
    ],
)
def test_an_export_that_fails_says_why_and_leaves_the_repository_as_it_was(
    model, options, error, said, tmp_path
):
    (tmp_path / "other").mkdir()

    with pytest.raises(error, match=said):
        export(model, ROWS, tmp_path, **options)

    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "ä"])
def test_a_name_that_is_no_folder_name_is_refused(name, tmp_path):
    with pytest.raises(InputsInvalid, match="cannot be a model's name"):
        exporters.export(nn.Linear(3, 3), ROWS, name=name, repository=tmp_path)


def test_batch_statistics_by_hand_are_named_in_the_bundle_where_they_are_allowed(tmp_path):
    made = export(Inside(BatchStatisticsByHand()), ROWS, tmp_path, allow=["batch-invariance"])

    assert made.manifest.batch_dependent == ("body.1",)
    assert made.manifest.allowed == ("batch-invariance",)
    (finding,) = [f for f in made.manifest.findings if f.check == "batch-invariance"]
    assert finding.status == "fail"
    assert not made.manifest.certificate.allows_batching


class Neighbours(nn.Module):
    def forward(self, x):
        return x + torch.sort(x, dim=0).values


def test_rows_that_meet_without_a_norm_are_not_exported_in_silence(tmp_path):
    with pytest.raises(CheckFailed, match=r"TopK|Sort") as caught:
        export(Neighbours(), ROWS, tmp_path)

    assert [finding.check for finding in caught.value.findings] == ["batch-invariance"]
    assert "--allow batch-invariance" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_check_that_is_allowed_to_fail_is_recorded(tmp_path):
    made = export(Neighbours(), ROWS, tmp_path, allow=["batch-invariance"])

    assert made.manifest.allowed == ("batch-invariance",)
    assert made.manifest.certificate.operator.op_type in ("TopK", "Sort")


def test_only_checks_that_there_are_can_be_allowed_to_fail(tmp_path):
    with pytest.raises(InputsInvalid, match=r"there is no check 'batch'.*batch-invariance"):
        export(nn.Linear(3, 3), ROWS, tmp_path, allow=["batch"])


def with_another_weight(model):
    """Optimize, and then spoil the weight a little."""
    rewrites = optimize(model)
    weight = model.graph.initializers["weight"]
    weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(1.001))
    return rewrites


def test_a_file_that_computes_something_else_is_not_written(monkeypatch, tmp_path):
    monkeypatch.setattr("exporters.convert.optimize", with_another_weight)

    with pytest.raises(CheckFailed, match=r"output 'scores' is outside its tolerance .*worst at"):
        export(nn.Linear(3, 3), ROWS, tmp_path, output_names=["scores"])

    assert not list(tmp_path.iterdir())


def test_a_version_that_exists_is_refused_before_any_work_and_kept(tmp_path):
    first = export(nn.Linear(3, 3), ROWS, tmp_path)
    stages = []

    with pytest.raises(BundleExists):
        export(nn.Linear(3, 2), ROWS, tmp_path, progress=stages.append)

    assert stages == []
    assert read_bundle(first.path) == first


def test_a_version_is_replaced_where_that_is_asked_for(tmp_path):
    export(nn.Linear(3, 3), ROWS, tmp_path)

    export(nn.Linear(3, 2), ROWS, tmp_path, overwrite=True)

    (folder,) = find_versions(tmp_path)
    assert read_bundle(folder.path).manifest.outputs[0].shape == ("batch", 2)


def test_progress_is_told_of_each_stage(tmp_path):
    stages = []

    export(nn.Linear(3, 3), ROWS, tmp_path, version=2, progress=stages.append)

    assert stages[:4] == ["inspect", "convert", "verify", "measure"]
    assert stages[4].startswith("check ")
    assert stages[-1] == "write"
    assert [folder.version for folder in find_versions(tmp_path)] == [2]


@pytest.mark.parametrize(
    ("lowered", "form", "operator"),
    [(False, "standard", "GroupNormalization"), (True, "lowered", "InstanceNormalization")],
)
def test_group_norm_is_written_in_the_form_that_is_asked_for(lowered, form, operator, tmp_path):
    made = export(
        trained(nn.Sequential(nn.GroupNorm(2, 4))),
        torch.rand(1, 4, 5, 5),
        tmp_path,
        lower_group_norm=lowered,
    )

    operators = {node.op_type for node in onnx.load(made.model_path).graph.node}
    assert made.manifest.group_norm == form
    assert operators & {"GroupNormalization", "InstanceNormalization"} == {operator}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_are_exported_as_they_are(dtype, tmp_path):
    made = export(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).to(dtype), ROWS.to(dtype), tmp_path)

    assert {spec.datatype for spec in made.manifest.outputs} == {made.manifest.inputs[0].datatype}


def test_a_model_with_hard_coded_float32_still_has_a_float64_reference(tmp_path):
    class Upcasting(nn.Module):
        def forward(self, x):
            scale = torch.ones(3, dtype=torch.float32)
            return (x.float() * scale).to(torch.float32).exp()

    made = export(Upcasting(), ROWS, tmp_path)

    assert "against float64" in made.manifest.tolerances["output"].source


def test_a_model_that_cannot_run_in_float64_is_compared_within_a_stated_tolerance(tmp_path):
    class OnlyFloat32(nn.Module):
        def forward(self, x):
            if x.dtype is not torch.float32:
                raising(x)
            return x.exp()

    made = export(OnlyFloat32(), ROWS, tmp_path)

    tolerance = made.manifest.tolerances["output"]
    assert "stated, not derived" in tolerance.source
    assert tolerance.rtol == 1e-4
    assert {f.status for f in made.manifest.findings if f.check == "eval-parity"} == {"warn"}


def test_integer_inputs_stay_within_the_examples_range(tmp_path):
    made = export(
        nn.Embedding(5, 3),
        torch.tensor([[0, 4, 2]]),
        tmp_path,
        dynamic_shapes={"input": {0: "batch", 1: "length"}},
    )

    assert [str(spec) for spec in made.manifest.inputs] == ["input: INT64 (batch, length)"]
