import json

import numpy as np
import onnx
import pytest

import bundle.store
from bundle import (
    BundleExists,
    DigestMismatch,
    Finding,
    Manifest,
    ManifestInvalid,
    Sample,
    SamplesInvalid,
    find_versions,
    open_model,
    read_bundle,
    read_samples,
    replay,
    write_bundle,
)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_written_is_read_again(written):
    assert read_bundle(written.path) == written
    assert written.path.parts[-2:] == ("scaling", "1")
    assert set(written.manifest.files) == {
        "model.onnx",
        "test_data_set_0/input_0.pb",
        "test_data_set_0/output_0.pb",
    }


def test_a_written_bundle_replays_its_samples(written):
    manifest = written.manifest
    samples = read_samples(written.path, manifest.inputs, manifest.outputs)
    (result,) = replay(open_model(written.model_path), samples, manifest.tolerances)
    assert result.passed


def test_the_samples_are_in_onnx_own_layout(written, scaling):
    _, _, sample = scaling
    proto = onnx.load_tensor(written.path / "test_data_set_0" / "input_0.pb")
    assert proto.name == "x"
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(proto), sample.inputs["x"])


def test_triton_finds_its_configuration(written):
    text = (written.path.parent / "config.pbtxt").read_text()
    assert 'name: "scaling"' in text
    assert 'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }' in text
    assert "max_batch_size: 0" in text


def test_the_same_version_is_replaced_only_when_asked_for(written, scaling):
    proto, manifest, sample = scaling
    repository = written.path.parent.parent
    with pytest.raises(BundleExists, match="exists"):
        write_bundle(repository, model=proto, manifest=manifest, samples=[sample])
    write_bundle(
        repository, model=proto, manifest=manifest, samples=[sample, sample], overwrite=True
    )
    assert (written.path / "test_data_set_1").is_dir()
    assert [path.name for path in written.path.parent.iterdir()].count("1") == 1
    assert {path.name for path in written.path.parent.iterdir()} == {"1", "config.pbtxt"}


def test_a_failure_while_writing_leaves_the_repository_as_it_was(written, scaling, monkeypatch):
    proto, manifest, sample = scaling
    repository = written.path.parent.parent
    before = files(repository)

    def full_disk(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle.store, "_digests", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(
            repository,
            model=proto,
            manifest=manifest.model_copy(update={"version": 2}),
            samples=[sample],
        )
    assert files(repository) == before


def test_a_sample_that_lacks_an_output_is_refused_and_nothing_is_written(scaling, tmp_path):
    proto, manifest, sample = scaling
    with pytest.raises(SamplesInvalid, match="no output 'y'"):
        write_bundle(
            tmp_path / "new",
            model=proto,
            manifest=manifest,
            samples=[Sample(inputs=sample.inputs, outputs={})],
        )
    assert not (tmp_path / "new" / "scaling").exists()


def test_a_changed_file_is_named(written):
    path = written.path / "test_data_set_0" / "output_0.pb"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DigestMismatch, match=r"output_0\.pb' was changed"):
        read_bundle(written.path)


def test_a_missing_file_is_named(written):
    written.model_path.unlink()
    with pytest.raises(DigestMismatch, match=r"model\.onnx' is missing"):
        read_bundle(written.path)


def test_a_file_that_was_slipped_in_is_named(written):
    (written.path / "model.onnx.data").write_bytes(b"1")
    with pytest.raises(DigestMismatch, match="not named by the manifest"):
        read_bundle(written.path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"version": 0}, "version"),
        ({"name": "../evil"}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"inputs": "x"}, "inputs"),
        ({"version": 7}, "is for 'scaling' version 7"),
        ({"name": "other"}, "is for 'other' version 1"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_field(written, change, says):
    path = written.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ManifestInvalid, match=says):
        read_bundle(written.path)


@pytest.mark.parametrize("content", ["", "{", "null", "[]"])
def test_a_manifest_that_is_no_json_object_is_refused(written, content):
    (written.path / "manifest.json").write_text(content)
    with pytest.raises(ManifestInvalid, match=r"manifest\.json"):
        read_bundle(written.path)


def test_a_sample_of_another_type_is_refused(written, scaling):
    path = written.path / "test_data_set_0" / "input_0.pb"
    path.write_bytes(onnx.numpy_helper.from_array(np.int64([1])).SerializeToString())
    with pytest.raises(SamplesInvalid, match="holds INT64"):
        read_samples(written.path, written.manifest.inputs, written.manifest.outputs)


def test_a_sample_that_is_no_tensor_is_refused(written):
    path = written.path / "test_data_set_0" / "input_0.pb"
    path.write_bytes(b"garbage")
    with pytest.raises(SamplesInvalid, match="cannot be read"):
        read_samples(written.path, written.manifest.inputs, written.manifest.outputs)


def test_versions_are_found_by_number_and_temporary_folders_are_not(written, scaling):
    proto, manifest, sample = scaling
    repository = written.path.parent.parent
    for version in (10, 9):
        write_bundle(
            repository,
            model=proto,
            manifest=manifest.model_copy(update={"version": version}),
            samples=[sample],
        )
    for name in (".tmp-1", "01", "0", "x"):
        (repository / "scaling" / name).mkdir()
        (repository / "scaling" / name / "model.onnx").touch()
    (repository / "plain" / "1").mkdir(parents=True)
    (repository / "plain" / "1" / "model.onnx").touch()
    found = find_versions(repository)
    assert [(folder.name, folder.version) for folder in found] == [
        ("plain", 1),
        ("scaling", 1),
        ("scaling", 9),
        ("scaling", 10),
    ]
    assert [folder.has_manifest for folder in found] == [False, True, True, True]


def test_numbers_that_are_not_finite_survive_the_manifest(scaling):
    _, manifest, _ = scaling
    finding = Finding(
        check="spread", status="fail", measured=float("inf"), tolerance=None, meaning="it overflows"
    )
    changed = manifest.model_copy(update={"findings": (finding,)})
    assert Manifest.model_validate_json(changed.model_dump_json()) == changed


def test_strings_survive_as_golden_samples(tmp_path):
    from bundle.golden import encode_samples
    from bundle.tensors import Datatype, TensorSpec

    spec = (TensorSpec(name="s", datatype=Datatype.BYTES, shape=("n", 1)),)
    array = np.array([[b"\xff\0"], [b"a"]], dtype=object)
    for path, content in encode_samples([Sample({"s": array}, {"s": array})], spec, spec).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (sample,) = read_samples(tmp_path, spec, spec)
    assert sample.inputs["s"].tolist() == array.tolist()


def test_a_configuration_that_somebody_has_changed_is_kept(scaling, tmp_path):
    proto, manifest, sample = scaling
    config = tmp_path / "scaling" / "config.pbtxt"

    def write(version):
        changed = manifest.model_copy(update={"version": version})
        write_bundle(tmp_path, model=proto, manifest=changed, samples=[sample], overwrite=True)

    write(1)
    generated = config.read_text()
    config.write_text(f"{generated}version_policy {{ all {{}} }}\n")
    write(2)
    assert "version_policy" in config.read_text()
    config.write_text(generated)
    write(3)
    assert config.read_text() == generated
    config.unlink()
    write(3)
    assert config.read_text() == generated
