"""Does the model answer its golden samples as torch did when it was exported?

Explained in ``docs/checks/golden-samples.md``.
"""

from bundle import Finding, InputInvalid, Manifest, OpenModel, open_model, read_samples, replay
from bundle.checks.parity import finding
from normserve.validate.ondisk import OnDisk

__all__ = ["NAME", "check"]

NAME = "golden-samples"

_REMEDY = "export the model again; if the file is the exporter's, this machine computes otherwise"


def check(on_disk: OnDisk) -> Finding | tuple[()]:
    """Run every golden sample and compare, as the service does before it serves.

    Raises:
        BundleError: the model cannot be opened or run, or a sample cannot be read.
    """
    manifest = on_disk.manifest
    if on_disk.target.folder is None:
        return ()
    if manifest is None:
        return Finding(
            check=NAME,
            status="not_applicable",
            measured=None,
            tolerance=None,
            meaning="there is no manifest that says what the model should answer",
        )
    opened = open_model(on_disk.model, policy=on_disk.policy, threads=on_disk.threads)
    contradiction = _contradiction(manifest, opened)
    if contradiction:
        return _failed(contradiction)
    samples = read_samples(on_disk.model.parent, manifest.inputs, manifest.outputs)
    if not samples:
        return _failed("there is no golden sample to verify the model with")
    try:
        comparisons = replay(opened, samples, manifest.tolerances)
    except InputInvalid as err:
        return _failed(f"a golden sample is nothing that the model takes: {err}")
    return finding(
        NAME,
        comparisons,
        passed=f"{len(samples)} golden samples are answered as torch answered them",
        failed="a golden sample is not answered as torch answered it",
        remedy=_REMEDY,
    )


def _contradiction(manifest: Manifest, opened: OpenModel) -> str:
    """What the manifest and the file do not agree on; empty where they do."""
    if (opened.inputs, opened.outputs) != (manifest.inputs, manifest.outputs):
        declared = "; ".join(map(str, (*manifest.inputs, *manifest.outputs)))
        there = "; ".join(map(str, (*opened.inputs, *opened.outputs)))
        return f"the manifest declares the tensors {declared}; the model file has {there}"
    for spec in manifest.outputs:
        if spec.datatype.is_float and spec.name not in manifest.tolerances:
            return f"the manifest has no tolerance for output '{spec.name}'"
    return ""


def _failed(meaning: str) -> Finding:
    return Finding(
        check=NAME, status="fail", measured=None, tolerance=None, meaning=meaning, remedy=_REMEDY
    )
