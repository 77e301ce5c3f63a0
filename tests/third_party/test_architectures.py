from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bundle import Manifest
from bundle.runtime import onnxruntime
from exporters import export
from exporters.calls import Flat
from exporters.convert import convert, inspect
from exporters.finish import finish
from exporters.prepare import quiet_state
from tests.third_party.architecture import Architecture
from tests.third_party.catalogue import ARCHITECTURES
from tests.third_party.expectations import BATCH_NORMS_LEFT, DECOMPOSED, NO_OWN_BATCH, REFUSED
from tests.third_party.randomized import randomized

torch.set_num_threads(1)

# the libraries' own deprecations are theirs
pytestmark = pytest.mark.filterwarnings("ignore")

SEED = 20_150_211
NORMS = {
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
    "RMSNormalization",
}  # fmt: skip
ALLOWED_OF_SCALE = 1e-5
ALLOWED_OF_OWN_ERROR = 16


def built(name: str) -> Architecture:
    torch.manual_seed(SEED)
    architecture = ARCHITECTURES[name]()
    randomized(architecture.model)
    return architecture


@dataclass(frozen=True)
class Exported:
    """An architecture, its bundle, and the file that an example of one row gives."""

    name: str
    architecture: Architecture
    manifest: Manifest
    file: onnx.ModelProto
    of_one_row: onnx.ModelProto


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - REFUSED.keys()))
def test_an_architecture_is_served_as_it_was_trained(name, tmp_path):
    exported = export_whole(name, tmp_path)

    assert_every_check_passes(exported)
    assert_a_plain_session_answers_as_torch_does(exported.architecture, exported.file)
    assert_an_example_of_one_row_gives_the_same(exported)
    assert_every_norm_is_one_operator_or_folded(exported)
    assert_no_weight_is_computed_at_inference(exported.file)
    assert_rows_may_share_a_batch(exported)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_served_is_refused_with_its_reason(name, rows, tmp_path):
    architecture = built(name)
    error, reason = REFUSED[name]

    with pytest.raises(error, match=reason):
        export(
            architecture.model, architecture.inputs(rows), name=name, repository=tmp_path,
            dynamic_shapes=architecture.shapes,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def export_whole(name: str, repository: Path) -> Exported:
    """Exported with an example of two rows, and converted with one of one row."""
    architecture = built(name)
    shapes = architecture.shapes
    bundle = export(
        architecture.model, architecture.inputs(2), name=name, repository=repository,
        dynamic_shapes=shapes,
    )  # fmt: skip
    converted = convert(architecture.model, architecture.inputs(1), dynamic_shapes=shapes)
    return Exported(
        name=name,
        architecture=architecture,
        manifest=bundle.manifest,
        file=onnx.load(bundle.model_path),
        of_one_row=finish(converted, name=name, lower_group_norm=False),
    )


def assert_every_check_passes(exported: Exported) -> None:
    failed = [f for f in exported.manifest.findings if f.status == "fail"]

    assert not failed
    assert {f.check for f in exported.manifest.findings} >= {"eval-parity", "batch-invariance"}


def assert_an_example_of_one_row_gives_the_same(exported: Exported) -> None:
    assert operators(exported.of_one_row) == operators(exported.file)
    assert_a_plain_session_answers_as_torch_does(exported.architecture, exported.of_one_row)


def assert_every_norm_is_one_operator_or_folded(exported: Exported) -> None:
    """The census names every norm of the file, and no batch norm is left that could fold."""
    norms = exported.manifest.norms
    in_file = {node.name for node in exported.file.graph.node if node.op_type in NORMS}

    assert {norm.kind for norm in norms if norm.fate == "decomposed"} == DECOMPOSED.get(
        exported.name, set()
    )
    assert in_file == {node for norm in norms if norm.fate == "kept" for node in norm.nodes}
    assert operators(exported.file)["BatchNormalization"] == BATCH_NORMS_LEFT.get(exported.name, 0)


def assert_no_weight_is_computed_at_inference(file: onnx.ModelProto) -> None:
    constants = {initializer.name for initializer in file.graph.initializer}
    computed = [node for node in file.graph.node if node.input and set(node.input) <= constants]

    assert [node.op_type for node in computed if node.op_type != "ConstantOfShape"] == []


def assert_rows_may_share_a_batch(exported: Exported) -> None:
    certificate = exported.manifest.certificate

    assert certificate is not None
    assert certificate.allows_batching == (exported.name not in NO_OWN_BATCH)
    assert NO_OWN_BATCH.get(exported.name, "") in certificate.reason


def operators(file: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in file.graph.node)


def assert_a_plain_session_answers_as_torch_does(
    architecture: Architecture, file: onnx.ModelProto
) -> None:
    """Compare with fresh inputs, in a session of ONNX Runtime's own making, without our code.

    The allowance is a multiple of torch's own float32 error over all inputs, or of the scale.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(
        file.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    differences, own_errors, scales = [], [], []
    for exact, single, answered in answers(architecture, session):
        for name, wanted in exact.items():
            assert answered[name].shape == wanted.shape
            if wanted.dtype.kind != "f":
                assert np.array_equal(answered[name], wanted)
                continue
            differences.append(np.abs(answered[name] - wanted).max(initial=0))
            own_errors.append(np.abs(single[name] - wanted).max(initial=0))
            scales.append(np.abs(wanted).max(initial=0))
    allowed = max(ALLOWED_OF_OWN_ERROR * max(own_errors), ALLOWED_OF_SCALE * max(scales))
    assert max(differences) <= allowed


def answers(architecture, session):
    """For batches of one and of three rows: torch's float64, torch's float32, the session's."""
    model = deepcopy(architecture.model).eval()
    wide = deepcopy(model).double()
    for rows in (1, 3):
        torch.manual_seed(SEED + rows)
        inputs = architecture.inputs(rows)
        with quiet_state():
            subject = inspect(model, inputs, dynamic_shapes=architecture.shapes)
            flat, exactly = Flat(model, subject.call), Flat(wide, subject.call)
            single = flat(*subject.example)
            exact = exactly(*(t.double() if t.is_floating_point() else t for t in subject.example))
        names = subject.eager.names
        feeds = dict(zip(subject.call.names, (t.numpy() for t in subject.example), strict=True))
        answered = dict(
            zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True)
        )
        yield (
            {name: tensor.numpy() for name, tensor in zip(names, exact, strict=True)},
            {name: tensor.numpy() for name, tensor in zip(names, single, strict=True)},
            answered,
        )
