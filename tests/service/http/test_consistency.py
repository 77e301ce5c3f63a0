"""Over HTTP: what is known of a model, and having it found out again."""

import math
from contextlib import asynccontextmanager, nullcontext

import httpx
import numpy as np
import pytest
import tritonclient.http
from prometheus_client.parser import text_string_to_metric_families

from bundle.certificate import Verdict
from service.consistency import Against
from service.consistency.live import Difference
from service.http import create_app
from service.lifecycle import Service
from service.registry import ServedModel
from service.settings import Settings
from service.signature import Signature
from tests.service import tiny


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A server that establishes everything at load and compares every request."""
    repository = tmp_path_factory.mktemp("repository")
    tiny.write_verified(repository, "bundle", batch_dependent=("bn1",))
    tiny.write_plain(repository, "plain", tiny.scale(3.0))
    tiny.write_plain(repository, "mean", tiny.batch_mean())
    tiny.write_plain(repository, "broken", b"no model")
    settings = Settings(repository=repository, consistency_at_load=True, canary_fraction=1.0)
    with tiny.live_server(settings) as url, httpx.Client(base_url=url) as client:
        yield client


class NoRunner(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        raise NotImplementedError


@asynccontextmanager
async def client_of(settings, *, service=None):
    """A client of an app that is not bound to anything."""
    app = create_app(settings, service=service)
    async with service or nullcontext(), app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


def read(client, name):
    reply = client.get(f"/v2/models/{name}/consistency")
    assert reply.status_code == 200, reply.text
    return reply.json()


def settled(client, name):
    tiny.wait_for(lambda: read(client, name)["state"] != "establishing", seconds=120)
    return read(client, name)


def infer(client, name, rows):
    address = str(client.base_url).removeprefix("http://").rstrip("/")
    with tritonclient.http.InferenceServerClient(address) as triton:
        tensor = tritonclient.http.InferInput("x", rows.shape, "FP32")
        tensor.set_data_from_numpy(rows)
        return triton.infer(name, [tensor]).as_numpy("y")


def test_a_bundle_tells_what_was_established_here_and_what_at_export(live):
    body = settled(live, "bundle")
    assert body["state"] == "established"
    assert body["golden"]["samples"] == 1
    assert body["placement"]["nodes"] == {"CPUExecutionProvider": 1}
    assert body["exported"]["source"] == "tests"
    established = body["established"]
    assert established["certificate"]["verdict"] == "bitwise"
    assert established["tried_sizes"] == [2, 3, 5, 8]
    assert "loud" in established["tried_neighbours"]
    assert established["certificate"]["model_sha256"] == body["model_sha256"]
    assert body["batching"]["allowed"] is True
    assert body["batching"]["rows"] >= 1


def test_a_plain_file_tells_that_there_was_no_export(live):
    body = settled(live, "plain")
    assert (body["golden"], body["exported"]) == (None, None)
    assert "determinism" in {finding["check"] for finding in body["established"]["findings"]}


def test_a_refusal_names_the_operator(live):
    body = settled(live, "mean")
    assert body["batching"]["allowed"] is False
    assert body["batching"]["rows"] == 1
    assert body["established"]["certificate"]["operator"]["name"] == "over_the_batch"
    (finding,) = [f for f in body["established"]["findings"] if f["check"] == "batch-invariance"]
    assert finding["status"] == "fail"


def test_a_request_for_every_check_is_taken_and_done_later(live):
    before = settled(live, "bundle")["established"]
    reply = live.post("/v2/models/bundle/versions/1/consistency")
    assert reply.status_code == 202
    assert reply.json()["state"] == "establishing"
    assert reply.json()["established"]["created"] == before["created"]
    after = settled(live, "bundle")["established"]
    assert after["thorough"] is True
    assert after["created"] > before["created"]


def test_a_storm_of_requests_is_one_examination_and_inference_goes_on(live):
    settled(live, "plain")
    seen = set()
    for _ in range(50):
        assert live.post("/v2/models/plain/consistency").status_code == 202
        assert infer(live, "plain", np.ones((1, 2), np.float32)).tolist() == [[3.0, 3.0]]
        seen.add(read(live, "plain")["established"]["created"])
    seen.add(settled(live, "plain")["established"]["created"])
    assert len(seen) <= 4


def test_live_requests_are_compared_and_told_here_and_to_prometheus(live):
    settled(live, "plain")
    before = read(live, "plain")["live"]["compared"]
    infer(live, "plain", np.array([[1.0, 2.0], [np.nan, np.inf]], np.float32))
    tiny.wait_for(lambda: read(live, "plain")["live"]["compared"] > before, seconds=60)
    seen = read(live, "plain")["live"]
    assert seen["fraction"] == 1.0
    assert seen["failed"] == 0
    assert [(o["against"], o["exceeded"]) for o in seen["outputs"]] == [
        ("solo", 0),
        ("reference", 0),
    ]
    page = live.get("/metrics")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(page.text)}
    compared = {
        sample.labels["model"]: sample.value
        for sample in families["normserve_canary_compared"].samples
    }
    assert compared["plain"] >= seen["compared"]
    assert "broken" not in compared


def test_prometheus_may_ask_for_the_newer_format(live):
    page = live.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert page.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert page.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody/consistency", 404),
        ("/v2/models/plain/versions/2/consistency", 404),
        ("/v2/models/plain/versions/x/consistency", 404),
        ("/v2/models/broken/consistency", 503),
    ],
)
def test_what_is_not_there_or_not_ready_is_told_as_everywhere(live, path, status):
    for method in ("GET", "POST"):
        reply = live.request(method, path)
        assert reply.status_code == status
        assert set(reply.json()) == {"error"}


def test_nothing_is_known_of_what_nobody_asked_for(http):
    body = http.get("/v2/models/versions/versions/9/consistency").json()
    assert (body["state"], body["model_version"]) == ("unknown", "9")
    assert body["established"] is None
    assert body["batching"]["allowed"] is False
    assert body["live"]["fraction"] == 0.0


async def test_operations_are_closed_where_others_can_reach_the_server(tmp_path):
    async with client_of(Settings(repository=tmp_path, host="192.0.2.1")) as client:
        reply = await client.post("/v2/models/m/consistency")
        assert reply.status_code == 403
        assert "bound to loopback" in reply.json()["error"]
        assert (await client.get("/v2/models/m/consistency")).status_code == 404


async def test_numbers_that_are_not_finite_are_text_in_json(tmp_path):
    known = tiny.consistency()
    known.finish(tiny.report(known, verdict=Verdict.DEPENDENT, noise=math.inf))
    known.live.add(
        [Difference(output="y", against=Against.SOLO, error=math.inf, tolerance=0.0, reason="NaN")]
    )
    service = Service(Settings(repository=tmp_path))
    service.registry.begin_loading("m", 1)
    service.registry.finish_loading(
        ServedModel(
            name="m",
            version=1,
            signature=Signature(inputs=(), outputs=()),
            runner=NoRunner(),
            consistency=known,
        )
    )
    async with client_of(Settings(repository=tmp_path), service=service) as client:
        body = (await client.get("/v2/models/m/consistency")).json()
    assert body["established"]["certificate"]["noise"] == "Infinity"
    assert body["live"]["outputs"][0]["worst_error"] == "Infinity"
