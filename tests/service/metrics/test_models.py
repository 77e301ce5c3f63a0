from datetime import UTC, datetime

from service.consistency import Consistency, Golden, Placement
from service.registry import Registry
from tests.service import tiny
from tests.service.metrics.scraping import scrape, serve


def states(registry):
    return {
        (key[1], key[2]): value
        for key, value in scrape(registry).items()
        if key[0] == "normserve_model_state"
    }


def test_each_version_is_in_one_state():
    registry = Registry()
    registry.begin_loading("loading", 1)
    registry.begin_loading("failed", 1)
    registry.fail_loading("failed", 1, reason="no luck")
    serve(registry, "ready")
    got = states(registry)
    assert {key for key, value in got.items() if value} == {
        ("loading", "LOADING"),
        ("failed", "UNAVAILABLE"),
        ("ready", "READY"),
    }
    assert got["failed", "READY"] == 0


def test_a_version_that_somebody_unloaded_is_in_none():
    registry = Registry()
    serve(registry, "m")
    registry.begin_unloading("m", 1)
    assert states(registry)["m", "UNLOADING"] == 1
    registry.finish_unloading("m", 1)
    assert states(registry) == {}


def test_a_version_that_does_not_answer_has_a_state_and_no_other_numbers():
    registry = Registry()
    registry.begin_loading("m", 1)
    assert {key[0] for key in scrape(registry) if "m" in key[1:]} == {"normserve_model_state"}


def test_where_a_version_runs_and_how_it_was_loaded_is_told():
    registry = Registry()
    golden = Golden(samples=2, max_abs_error=0.25, replayed=datetime.now(UTC))
    consistency = Consistency(
        tiny.consistency("m").source,
        placement=Placement(
            provider="CUDAExecutionProvider",
            nodes={"CUDAExecutionProvider": 5, "CPUExecutionProvider": 2},
        ),
        golden=golden,
    )
    serve(registry, "m", consistency=consistency, load_s=1.5)
    got = scrape(registry)
    assert got["normserve_provider_nodes", "m", "CUDAExecutionProvider", "1"] == 5
    assert got["normserve_provider_nodes", "m", "CPUExecutionProvider", "1"] == 2
    assert got["normserve_golden_max_abs_error", "m", "1"] == 0.25
    assert got["nv_model_load_duration_secs", "m", "1"] == 1.5


def test_a_plain_model_has_no_golden_error():
    registry = Registry()
    serve(registry, "m")
    assert ("normserve_golden_max_abs_error", "m", "1") not in scrape(registry)
