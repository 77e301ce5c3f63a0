import os

import pytest

from normserve.validate.errors import Unexaminable
from normserve.validate.targets import NetworkTarget, find_targets
from tests.normserve.validate.cases import bundle, save, scaling

ZOO = ("resnet", "llama")


def titles(text):
    return [target.title for target in find_targets(str(text), zoo=lambda: ZOO)]


def test_a_version_folder_a_model_folder_and_a_repository_are_found(repository):
    version = bundle(repository)
    assert titles(version) == [str(version)]
    assert titles(version.parent) == [str(version)]
    assert titles(repository) == [str(version)]


def test_a_repository_stands_for_every_version_of_every_model_in_order(repository):
    for name, versions in {"b": (1,), "a": (10, 9)}.items():
        for version in versions:
            save(scaling(), repository / name / str(version) / "model.onnx")
    save(scaling(), repository / ".hidden" / "1" / "model.onnx")
    (repository / "a" / "notes").mkdir()
    assert titles(f"{repository}/") == [f"{repository}/{each}" for each in ("a/9", "a/10", "b/1")]


def test_the_model_file_and_the_manifest_of_a_bundle_stand_for_the_bundle(repository):
    version = bundle(repository)
    for name in ("model.onnx", "manifest.json"):
        (target,) = find_targets(str(version / name), zoo=tuple)
        assert target.folder == version
        assert target.has_manifest


def test_a_bare_file_is_a_file_and_so_is_one_in_a_folder_that_is_no_version(tmp_path):
    path = save(scaling(), tmp_path / "exported" / "model.onnx")
    for text in (path, path.parent):
        (target,) = find_targets(str(text), zoo=tuple)
        assert target.model == path
        assert target.folder is None


def test_factories_and_names_of_the_zoo_are_networks():
    assert find_targets("package.module:factory", zoo=tuple) == (
        NetworkTarget("package.module:factory"),
    )
    assert titles("resnet") == ["resnet"]
    assert titles("all") == list(ZOO)


def test_a_path_wins_over_a_name_of_the_zoo(tmp_path, monkeypatch):
    version = bundle(tmp_path, "resnet")
    monkeypatch.chdir(tmp_path)
    (target,) = find_targets("resnet", zoo=lambda: ZOO)
    assert target.model.resolve() == version / "model.onnx"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no graph"),
        (b"hello", "is no ONNX model, or the file is not whole"),
        (scaling().SerializeToString()[:-4], "is no ONNX model, or the file is not whole"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_a_file_that_is_no_model_is_refused_with_what_it_is(tmp_path, content, said):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(Unexaminable, match=said):
        titles(path)


def test_nothing_of_that_name_is_refused_with_what_there_is():
    with pytest.raises(Unexaminable, match=r"no file or folder 'resnot'.*\(resnet, llama\)"):
        titles("resnot")
    with pytest.raises(Unexaminable, match=r"which needs normserve\[export\]"):
        find_targets("resnet", zoo=tuple)


def test_a_path_that_leads_nowhere_is_refused_without_asking_the_zoo(tmp_path):
    def unasked():
        raise AssertionError

    for text in (f"{tmp_path}/none", "none.onnx"):
        with pytest.raises(Unexaminable, match="there is no file or folder"):
            find_targets(text, zoo=unasked)


def test_an_empty_folder_is_refused_with_what_was_wanted(tmp_path):
    with pytest.raises(Unexaminable, match=r"<model>/<version>/model\.onnx"):
        titles(tmp_path)


def test_a_file_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(Unexaminable, match="is no file"):
        titles(tmp_path / "pipe.onnx")
