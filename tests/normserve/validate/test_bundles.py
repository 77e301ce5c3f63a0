import json

import numpy as np
from onnx import numpy_helper

from bundle.checks import checks
from tests.normserve.validate.cases import at_export, bundle, findings, run, scaling


def checked(path, *names):
    chosen = [part for name in names for part in ("--check", name)]
    return run(path, "--json", "--no-served", *chosen)


def test_a_bundle_passes_every_check_of_files_and_shows_what_its_exporter_found(repository):
    done = checked(bundle(repository, findings=[at_export("eval-parity", "pass")]))
    assert done.status == 0
    (target,) = done.report["targets"]
    assert target["kind"] == "bundle"
    made = findings(done.report)
    assert set(made) == {"digests", "file", "inputs", "golden-samples", *checks()}
    assert {found["status"] for found in made.values()} == {"pass"}
    assert [f["check"] for f in target["findings"] if f["established"] == "export"] == [
        "eval-parity"
    ]
    assert target["certificate"]["verdict"] == "bitwise"


def test_a_file_that_was_changed_fails_its_digest(repository):
    version = bundle(repository)
    path = version / "model.onnx"
    path.write_bytes(scaling(factor=2.5).SerializeToString())
    done = checked(version, "digests", "golden-samples")
    assert done.status == 1
    made = findings(done.report)
    assert made["digests"]["status"] == "fail"
    assert "model.onnx' was changed" in made["digests"]["meaning"]
    assert made["golden-samples"]["measured"] == 2.5


def test_a_golden_sample_that_lies_is_found_though_its_digest_is_right(repository):
    wrong = 2 * np.arange(6, dtype=np.float32).reshape(2, 3)
    wrong[1, 2] += 0.25
    done = checked(bundle(repository, outputs=wrong), "digests", "golden-samples")
    assert done.status == 1
    made = findings(done.report)
    assert made["digests"]["status"] == "pass"
    assert made["golden-samples"]["status"] == "fail"
    assert made["golden-samples"]["measured"] == 0.25
    assert "(1, 2)" in made["golden-samples"]["meaning"]


def test_a_golden_sample_that_the_model_does_not_take_fails(repository):
    version = bundle(repository)
    longer = numpy_helper.from_array(np.zeros((2, 4), np.float32), "x")
    (version / "test_data_set_0" / "input_0.pb").write_bytes(longer.SerializeToString())
    made = findings(checked(version, "golden-samples").report)
    assert made["golden-samples"]["status"] == "fail"
    assert "nothing that the model takes" in made["golden-samples"]["meaning"]


def test_a_manifest_that_is_damaged_fails_and_the_model_is_still_looked_at(repository):
    version = bundle(repository)
    (version / "manifest.json").write_text("{")
    done = checked(version, "digests", "golden-samples", "batch-invariance")
    assert done.status == 1
    made = findings(done.report)
    assert "is no manifest" in made["digests"]["meaning"]
    assert made["golden-samples"]["status"] == "not_applicable"
    assert made["batch-invariance"]["status"] == "pass"


def test_a_bundle_in_the_folder_of_another_model_fails(repository):
    version = bundle(repository)
    home = version.parent.rename(repository / "other")
    made = findings(checked(home / "1", "digests").report)
    assert "lies in the folder of 'other'" in made["digests"]["meaning"]


def test_a_manifest_that_declares_other_tensors_fails(repository):
    version = bundle(repository, proto=scaling(shape=("batch", 4)))
    made = findings(checked(version, "golden-samples").report)
    assert made["golden-samples"]["status"] == "fail"
    assert "declares the tensors x: FP32 (batch, 3)" in made["golden-samples"]["meaning"]


def test_a_bundle_without_samples_or_tolerance_is_not_verified(repository):
    version = bundle(repository)
    (version / "test_data_set_0" / "input_0.pb").unlink()
    (version / "test_data_set_0" / "output_0.pb").unlink()
    (version / "test_data_set_0").rmdir()
    made = findings(checked(version, "golden-samples").report)
    assert "no golden sample" in made["golden-samples"]["meaning"]
    document = json.loads((version / "manifest.json").read_text()) | {"tolerances": {}}
    (version / "manifest.json").write_text(json.dumps(document))
    made = findings(checked(version, "golden-samples").report)
    assert "no tolerance for output 'y'" in made["golden-samples"]["meaning"]


def test_a_model_that_is_gone_fails_and_nothing_more_is_checked(repository):
    version = bundle(repository)
    (version / "model.onnx").unlink()
    done = checked(version)
    assert done.status == 1
    made = findings(done.report)
    assert set(made) == {"digests", "file"}
    assert {found["status"] for found in made.values()} == {"fail"}


def test_a_repository_is_validated_whole(repository):
    bundle(repository, "one")
    bundle(repository, "two")
    done = checked(repository, "digests")
    assert [target["target"] for target in done.report["targets"]] == [
        f"{repository}/one/1",
        f"{repository}/two/1",
    ]


def test_the_budget_of_the_certificate_is_kept(repository):
    done = run(bundle(repository), "--json", "--check", "batch-invariance", "--seconds", "0.001")
    assert done.status == 0
    cells = done.report["targets"][0]["certificate"]["cells"]
    assert sum(cell["rows"] for cell in cells) < 324


def test_a_conversion_is_measured_where_it_is_asked_for(repository):
    done = run(bundle(repository), "--json", "--check", "precision-parity", "--precision", "bf16")
    assert done.status == 0
    assert "precision-parity" in findings(done.report)
