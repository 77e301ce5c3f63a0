import json

import numpy as np
import pytest
from structlog.testing import capture_logs

from bundle import MANIFEST, GraphLevel, ProviderPolicy, SessionTuning, open_model
from service.budget import Budget
from service.consistency import Cache, Examiner
from service.cores import Cores
from service.engine import ThreadWorkshop
from service.errors import LoadFailed, RepositoryMissing
from service.loading import Loader
from service.repository import check_repository
from tests.service import tiny
from tests.service.serving import planned


@pytest.fixture
def parts(tmp_path_factory):
    """What a loader needs; its examiner examines nothing by itself."""
    workshop = ThreadWorkshop(at_once=1)
    cache = Cache(tmp_path_factory.mktemp("cache"))
    examiner = Examiner(cache=cache, at_load=False, timeout_s=60)
    yield {
        "policy": ProviderPolicy.CPU,
        "budget": tiny.BUDGET,
        "workshop": workshop,
        "batchers": tiny.batchers(),
        "examiner": examiner,
    }
    examiner.close()
    workshop.close()


@pytest.fixture
def loader(parts):
    loader = Loader(**parts, at_once=2)
    yield loader
    loader.close()


def rewrite_manifest(bundle, **change):
    path = bundle.path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


async def test_a_bundle_is_served_after_its_golden_samples_agreed(tmp_path, loader):
    tiny.write_verified(tmp_path, "m", factor=3.0)
    model = loader.load(planned(tmp_path))
    assert model.properties["verified"] == "true"
    result = (await model.runner.submit({"x": np.ones((1, 2), np.float32)}, ["y"])).outputs
    assert result["y"].tolist() == [[3.0, 3.0]]


def test_a_golden_sample_that_disagrees_is_told_with_both_numbers(tmp_path, loader):
    tiny.write_verified(tmp_path, "m", factor=2.0, says=2.5)
    with pytest.raises(LoadFailed, match=r"output 'y'.*got 4, expected 5"):
        loader.load(planned(tmp_path))


def test_a_bundle_without_a_golden_sample_is_not_served(tmp_path, loader):
    tiny.write_verified(tmp_path, "m", samples=False)
    with pytest.raises(LoadFailed, match="no golden sample"):
        loader.load(planned(tmp_path))


def test_a_changed_file_is_not_served(tmp_path, loader):
    bundle = tiny.write_verified(tmp_path, "m")
    bundle.model_path.write_bytes(tiny.scale(2.0001).SerializeToString())
    with pytest.raises(LoadFailed, match="was changed"):
        loader.load(planned(tmp_path))


def test_a_missing_file_is_not_served(tmp_path, loader):
    bundle = tiny.write_verified(tmp_path, "m")
    bundle.model_path.unlink()
    with pytest.raises(LoadFailed, match="is missing"):
        loader.load(planned(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}'])
def test_a_manifest_that_cannot_be_read_is_not_served(tmp_path, loader, text):
    bundle = tiny.write_verified(tmp_path, "m")
    (bundle.path / MANIFEST).write_text(text)
    with pytest.raises(LoadFailed, match=r"manifest\.json"):
        loader.load(planned(tmp_path))


def test_a_bundle_in_the_place_of_another_is_not_served(tmp_path, loader):
    bundle = tiny.write_verified(tmp_path, "m")
    bundle.path.rename(bundle.path.parent / "7")
    with pytest.raises(LoadFailed, match="version 7"):
        loader.load(planned(tmp_path))


def test_a_manifest_that_declares_other_tensors_than_the_file_is_not_served(tmp_path, loader):
    bundle = tiny.write_verified(tmp_path, "m")
    inputs = [{"name": "x", "datatype": "FP64", "shape": ["rows", 2]}]
    rewrite_manifest(bundle, inputs=inputs)
    with pytest.raises(LoadFailed, match=r"declares.*FP64.*the model file has.*FP32"):
        loader.load(planned(tmp_path))


def test_a_manifest_without_a_tolerance_is_not_served(tmp_path, loader):
    bundle = tiny.write_verified(tmp_path, "m")
    rewrite_manifest(bundle, tolerances={})
    with pytest.raises(LoadFailed, match="no tolerance for output 'y'"):
        loader.load(planned(tmp_path))


def test_a_plain_folder_is_served_as_unverified(tmp_path, loader):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    assert loader.load(planned(tmp_path)).properties["verified"] == "false"


@pytest.mark.parametrize("content", [b"", b"no model", bytes(1000)])
def test_a_plain_folder_with_a_broken_file_is_not_served(tmp_path, loader, content):
    tiny.write_plain(tmp_path, "m", content)
    with pytest.raises(LoadFailed):
        loader.load(planned(tmp_path))


async def test_a_library_that_fails_in_an_unforeseen_way_is_no_more_than_a_failed_load(
    tmp_path, parts
):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))

    class Surprised(Loader):
        def load(self, version):
            raise RuntimeError("nobody knew")

    loader = Surprised(**parts, at_once=1)
    with pytest.raises(LoadFailed, match="unexpected error") as failed:
        await loader.load_beside(planned(tmp_path))
    assert "nobody knew" not in str(failed.value)
    loader.close()


def test_a_file_that_changes_while_it_is_loaded_is_not_served(tmp_path, loader, monkeypatch):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))

    def overtaken(path, **how):
        opened = open_model(path, **how)
        path.write_bytes(tiny.scale(3.0).SerializeToString())
        return opened

    monkeypatch.setattr("service.engine.workshop.open_model", overtaken)
    with pytest.raises(LoadFailed, match="were changed while it was loaded"):
        loader.load(planned(tmp_path))


def test_what_is_loaded_says_what_it_was_loaded_from(tmp_path, loader):
    bundle = tiny.write_verified(tmp_path, "m")
    known = loader.load(planned(tmp_path)).consistency
    assert known.source.model_sha256 == bundle.manifest.files["model.onnx"]
    assert known.golden.samples == 1
    assert known.exported.source == "tests"
    assert known.placement.nodes == {"CPUExecutionProvider": 1}


TUNED = """
    instance_group { count: 2 }
    optimization { graph { level: -1 } }
    parameters { key: "intra_op_thread_count" value { string_value: "3" } }
    parameters { key: "enable_mem_arena" value { string_value: "0" } }
"""


def test_what_a_configuration_tunes_is_what_runs_and_what_is_certified(tmp_path, parts):
    workshop = ThreadWorkshop(at_once=8)
    budget = Budget(cores=Cores(8.0, "setting"), runs=8, threads=1)
    loader = Loader(**(parts | {"workshop": workshop, "budget": budget}), at_once=1)
    tiny.write_verified(tmp_path, "m")
    plain = loader.load(planned(tmp_path))
    tiny.write_config(tmp_path, "m", TUNED)
    tuned = loader.load(planned(tmp_path))
    loader.close()
    workshop.close()
    assert tuned.properties["threads"] == "3"
    assert tuned.properties["instances"] == "2"
    assert tuned.properties["tuning"] == "level basic, mem_arena false"
    assert "config_not_honoured" not in tuned.properties
    assert "tuning" not in plain.properties
    assert tuned.consistency.source.tuning == SessionTuning(level=GraphLevel.BASIC, mem_arena=False)
    assert tuned.consistency.key.tuning == "level basic, mem_arena false"
    assert plain.consistency.key != tuned.consistency.key


def test_a_model_of_many_threads_has_fewer_runs_at_once_and_is_told_where_they_are_too_many(
    tmp_path, parts
):
    workshop = ThreadWorkshop(at_once=4)
    budget = Budget(cores=Cores(4.0, "quota"), runs=4, threads=1)
    loader = Loader(**(parts | {"workshop": workshop, "budget": budget}), at_once=1)
    tiny.write_verified(tmp_path, "m")

    def threads_and_instances(count, **others):
        asked = {"intra_op_thread_count": count, **others}
        parameter = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}\n'
        tiny.write_config(tmp_path, "m", "".join(parameter.format(*item) for item in asked.items()))
        with capture_logs() as logs:
            told = loader.load(planned(tmp_path)).properties
        warned = [line["threads"] for line in logs if line["event"] == "more threads than cores"]
        return told["threads"], told["instances"], warned

    assert threads_and_instances(2) == ("2", "2", [])
    assert threads_and_instances(3) == ("3", "1", [])
    assert threads_and_instances(0) == ("4", "1", [])
    assert threads_and_instances(5) == ("5", "1", [5])
    branches = {"execution_mode": 1, "inter_op_thread_count": 2}
    assert threads_and_instances(1, **branches) == ("1", "2", [])
    assert threads_and_instances(2, **branches) == ("2", "1", [])
    assert threads_and_instances(1, execution_mode=1) == ("1", "1", [])
    assert threads_and_instances(2, execution_mode=1) == ("2", "1", [8])
    loader.close()
    workshop.close()


def test_golden_samples_are_run_in_the_session_that_was_tuned(tmp_path, loader, monkeypatch):
    tiny.write_verified(tmp_path, "m")
    tiny.write_config(tmp_path, "m", "optimization { graph { level: -1 } }")

    class Wrong:
        """What an optimizer that is mistaken would make of the model."""

        def __init__(self, opened):
            self.opened = opened

        def __getattr__(self, name):
            return getattr(self.opened, name)

        def run(self, feeds, outputs=None, **how):
            return {k: v + 1 for k, v in self.opened.run(feeds, outputs, **how).items()}

    def mistaken(path, *, tuning, **how):
        opened = open_model(path, tuning=tuning, **how)
        return Wrong(opened) if tuning.level is GraphLevel.BASIC else opened

    monkeypatch.setattr("service.engine.workshop.open_model", mistaken)
    with pytest.raises(LoadFailed, match="does not agree with its golden sample"):
        loader.load(planned(tmp_path))


def test_a_repository_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(RepositoryMissing, match="cannot be read"):
            check_repository(path)
