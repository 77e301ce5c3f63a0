"""The networks of the zoo, where they have been exported: `make export`."""

from pathlib import Path

import pytest

from bundle import ProviderPolicy, open_model, read_bundle, read_samples, replay
from bundle.checks import Subject, certify
from bundle.providers import OPENVINO

REPOSITORY = Path(__file__).parents[2] / "model_repository"
POLICY = ProviderPolicy("openvino")

pytestmark = pytest.mark.parametrize(
    "folder", sorted(REPOSITORY.glob("*/1")), ids=lambda folder: folder.parent.name
)


def test_every_node_runs_there_and_the_golden_samples_agree(folder):
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    opened = open_model(bundle.model_path, policy=POLICY)
    assert opened.placement.elsewhere(OPENVINO) == ()
    samples = read_samples(folder, manifest.inputs, manifest.outputs)
    comparisons = replay(opened, samples, manifest.tolerances)
    assert [str(c.reason) for c in comparisons if not c.passed] == []
    assert comparisons


def test_rows_may_share_a_batch(folder):
    certificate = certify(Subject.of_bundle(read_bundle(folder), policy=POLICY))
    assert certificate.provider == OPENVINO
    assert certificate.allows_batching, certificate.reason
