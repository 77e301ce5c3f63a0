import httpx
import numpy as np
import pytest

from bundle import Datatype
from service.settings import Settings
from tests.service import tiny

CONFIG = "max_batch_size: 8"
EMPTY = {"count": 0, "ns": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("statistics")
    for name in ("rows", "requests"):
        tiny.write_plain(repository, name, tiny.identity(Datatype.FP32))
    (repository / "rows" / "config.pbtxt").write_text(CONFIG)
    tiny.write_plain(repository, "embedding", tiny.embedding())
    with tiny.live_server(Settings(repository=repository)) as url:
        yield url


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server) as client:
        yield client


def ask(http, name, rows):
    array = np.zeros((rows, 3), np.float32)
    tensor = {"name": "x", "shape": array.shape, "datatype": "FP32", "data": array.ravel().tolist()}
    reply = http.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    assert reply.status_code == 200, reply.text


def stats(http, name):
    (found,) = http.get(f"/v2/models/{name}/stats").json()["model_stats"]
    return found


def test_a_model_with_a_batch_counts_rows_and_one_without_counts_requests(http):
    for name in ("rows", "requests"):
        for rows in (4, 4, 1):
            ask(http, name, rows)
    with_batch, without = stats(http, "rows"), stats(http, "requests")
    assert (with_batch["inference_count"], with_batch["execution_count"]) == (9, 3)
    assert (without["inference_count"], without["execution_count"]) == (3, 3)
    assert with_batch["inference_stats"]["success"]["count"] == 3
    sizes = {
        each["batch_size"]: each["compute_infer"]["count"] for each in with_batch["batch_stats"]
    }
    assert sizes == {1: 1, 4: 2}
    assert [each["batch_size"] for each in without["batch_stats"]] == [1]


def test_every_part_of_a_request_has_its_time(http):
    ask(http, "requests", 1000)
    parts = stats(http, "requests")["inference_stats"]
    count = parts["success"]["count"]
    for part in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert parts[part]["count"] == count
        assert 0 < parts[part]["ns"] < parts["success"]["ns"]
    assert parts["cache_hit"] == parts["cache_miss"] == EMPTY


def test_requests_that_are_refused_are_failures_of_the_model_that_they_are_for(http):
    wrong = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [7]}]}
    assert http.post("/v2/models/embedding/infer", json=wrong).status_code == 400
    assert http.post("/v2/models/embedding/infer", content=b"no JSON").status_code == 400
    seen = stats(http, "embedding")
    assert seen["inference_stats"]["fail"]["count"] == 2
    assert seen["inference_stats"]["success"] == EMPTY
    assert (seen["execution_count"], seen["last_inference"], seen["batch_stats"]) == (0, 0, [])


def test_the_statistics_of_all_models_have_an_entry_for_each_version(http):
    found = http.get("/v2/models/stats").json()["model_stats"]
    assert [(each["name"], each["version"]) for each in found] == [
        ("embedding", "1"),
        ("requests", "1"),
        ("rows", "1"),
    ]
    assert all(each["response_stats"] == {} and each["memory_usage"] == [] for each in found)
