"""A model that is loaded on a GPU: the GPU is `tests.bundle.gpu.Gpu`."""

import asyncio

import numpy as np
import pytest
from structlog.testing import capture_logs

from bundle import ProviderPolicy
from bundle.providers import CPU, CUDA
from service.consistency import Cache, Examiner
from service.engine import ThreadWorkshop
from service.errors import LoadFailed
from service.loading import Loader
from tests.bundle.gpu import Gpu, Outcome
from tests.service import tiny
from tests.service.serving import planned

WARMED = [1, 2, 4, 8, 16, 32, 64]


@pytest.fixture
def gpu(monkeypatch):
    gpu = Gpu({CUDA: Outcome.STARTS})
    gpu.install(monkeypatch)
    return gpu


@pytest.fixture
def load(tmp_path):
    """Loads a repository's only model under a policy."""
    workshop = ThreadWorkshop(at_once=1)
    examiner = Examiner(cache=Cache(tmp_path / "cache"), at_load=False, timeout_s=60)
    loaders = []

    def load(repository, policy="cuda", **allowed):
        loaders.append(
            Loader(
                policy=ProviderPolicy(policy, **allowed),
                budget=tiny.BUDGET,
                workshop=workshop,
                batchers=tiny.batchers(),
                examiner=examiner,
                at_once=1,
            )
        )
        return loaders[-1].load(planned(repository))

    yield load
    for loader in loaders:
        loader.close()
    examiner.close()
    workshop.close()


def ones(rows):
    return {"x": np.ones((rows, 2), np.float32)}


def test_it_is_warmed_with_every_size_of_batch_after_its_samples_agreed(tmp_path, gpu, load):
    tiny.write_verified(tmp_path, "m")
    model = load(tmp_path)
    assert gpu.rows == [1, *WARMED]
    assert model.properties["provider"] == CUDA
    assert model.properties["placement"] == f"{CUDA}: 1"


def test_a_model_of_which_nothing_is_known_is_not_warmed(tmp_path, gpu, load):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    load(tmp_path)
    assert gpu.rows == []


async def test_runs_are_filled_up_to_those_sizes_once_there_is_a_certificate(tmp_path, gpu, load):
    tiny.write_verified(tmp_path, "m")
    model = load(tmp_path)
    gpu.rows.clear()
    before = await model.runner.submit(ones(3), ["y"])
    model.consistency.finish(tiny.report(model.consistency))
    after = await asyncio.gather(*(model.runner.submit(ones(3), ["y"]) for _ in range(2)))
    assert gpu.rows == [3, 4, 4]
    for computed in (before, *after):
        assert computed.outputs["y"].tolist() == [[2.0, 2.0]] * 3


def test_a_heavy_node_elsewhere_keeps_it_from_being_served(tmp_path, gpu, load):
    gpu.light = {"Loop"}
    tiny.write_plain(tmp_path, "m", tiny.slow(1))
    with pytest.raises(LoadFailed, match=rf"Loop '.*' on {CPU}"):
        load(tmp_path)


def test_one_that_is_allowed_elsewhere_is_told_to_people(tmp_path, gpu, load):
    gpu.light = {"Loop"}
    tiny.write_plain(tmp_path, "m", tiny.slow(1))
    with capture_logs() as logs:
        model = load(tmp_path, "prefer:cuda")
    assert f"on {CPU}" in model.properties["heavy_nodes_elsewhere"]
    assert [line["event"] for line in logs] == ["heavy nodes elsewhere"]


def test_a_provider_that_was_passed_over_is_told_to_people(tmp_path, gpu, load):
    gpu.outcomes = {CUDA: Outcome.FALLS_BACK}
    tiny.write_verified(tmp_path, "m")
    with capture_logs() as logs:
        model = load(tmp_path, "auto")
    assert model.properties["provider"] == CPU
    assert "did not start" in model.properties["providers_passed_over"]
    assert model.consistency.placement.passed_over[0].startswith(CUDA)
    assert [line["event"] for line in logs] == ["providers passed over"]


def test_what_was_established_holds_for_the_options_of_the_provider(tmp_path, gpu, load):
    tiny.write_verified(tmp_path, "m")
    strict, loose = load(tmp_path), load(tmp_path, allow_tf32=True)
    assert strict.consistency.key.options["use_tf32"] == "0"
    assert loose.consistency.key.options["use_tf32"] == "1"
    assert strict.consistency.key != loose.consistency.key
