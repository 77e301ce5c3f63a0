from datetime import UTC, datetime

import numpy as np
import pytest
from onnx import helper

from bundle import Datatype, Manifest, Provenance, Sample, TensorSpec, Tolerance, write_bundle
from tests.bundle.onnx_models import model, value


@pytest.fixture
def scaling():
    """A model y = 2x, its manifest and a sample."""
    proto = model(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [value("x", ["batch", 3])],
        [value("y", ["batch", 3])],
        weights={"two": np.float32([2])},
    )
    manifest = Manifest(
        name="scaling",
        version=1,
        inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=("batch", 3)),),
        outputs=(TensorSpec(name="y", datatype=Datatype.FP32, shape=("batch", 3)),),
        files={},
        provenance=Provenance(
            source="tests",
            checkpoint_sha256=None,
            opset=23,
            versions={"onnx": "1"},
            created=datetime(2026, 1, 1, tzinfo=UTC),
        ),
        norms=(),
        findings=(),
        tolerances={"y": Tolerance(atol=1e-6, rtol=0.0, source="test")},
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    return proto, manifest, Sample(inputs={"x": x}, outputs={"y": 2 * x})


@pytest.fixture
def written(scaling, tmp_path):
    proto, manifest, sample = scaling
    return write_bundle(tmp_path / "repository", model=proto, manifest=manifest, samples=[sample])
