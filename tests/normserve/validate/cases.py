"""Tiny models, bundles of them, and the command on them."""

import json
from types import SimpleNamespace

import numpy as np
from click.testing import CliRunner
from onnx import helper

from bundle import Datatype, Finding, Manifest, Provenance, Sample, TensorSpec, Tolerance
from bundle import write_bundle as write
from normserve.cli import main
from tests.bundle.onnx_models import model, save, value

__all__ = ["at_export", "bundle", "centring", "findings", "run", "save", "scaling"]

CREATED = "2026-01-01T00:00:00Z"


def run(*arguments):
    """``normserve validate`` in this process; ``report`` is what ``--json`` says."""
    given = CliRunner().invoke(main, ["validate", *map(str, arguments)])
    assert given.exception is None or isinstance(given.exception, SystemExit), given.exception
    return SimpleNamespace(
        status=given.exit_code,
        out=given.stdout,
        err=given.stderr,
        report=json.loads(given.stdout) if "--json" in arguments and given.stdout else None,
    )


def findings(report, *, target=0):
    """The findings that were made now, by check."""
    return {
        found["check"]: found
        for found in report["targets"][target]["findings"]
        if found["established"] == "now"
    }


def scaling(*, factor=2.0, shape=("batch", 3)):
    """A model y = factor * x."""
    return model(
        [helper.make_node("Mul", ["x", "factor"], ["y"], name="scale")],
        [value("x", list(shape))],
        [value("y", list(shape))],
        weights={"factor": np.float32([factor])},
    )


def centring():
    """A model that subtracts the mean over the batch."""
    return model(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], name="batch_mean"),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [value("x", ["batch", 3])],
        [value("y", ["batch", 3])],
        weights={"axes": np.int64([0])},
    )


def manifest(name="scaling", *, findings=(), allowed=(), tolerance=1e-6):
    tensors = [TensorSpec(name=n, datatype=Datatype.FP32, shape=("batch", 3)) for n in "xy"]
    return Manifest(
        name=name,
        version=1,
        inputs=tensors[:1],
        outputs=tensors[1:],
        files={},
        provenance=Provenance(
            source="tests", checkpoint_sha256=None, opset=23, versions={}, created=CREATED
        ),
        norms=(),
        findings=findings,
        allowed=allowed,
        tolerances={"y": Tolerance(atol=tolerance, rtol=0.0, source="test")},
    )


def bundle(repository, name="scaling", *, proto=None, outputs=None, **said):
    """A bundle of y = 2x in a repository, with one golden sample."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    return write(
        repository,
        model=proto or scaling(),
        manifest=manifest(name, **said),
        samples=[Sample({"x": x}, {"y": 2 * x if outputs is None else outputs})],
    ).path


def at_export(check, status, *, meaning="found by the exporter"):
    return Finding(
        check=check, status=status, measured=0.5, tolerance=None, meaning=meaning, remedy="mend it"
    )
