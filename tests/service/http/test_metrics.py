"""The metrics page of a live server, as scrapers read it."""

import httpx
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from service.settings import Settings
from tests.service import tiny

METHODS = ("COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "REPORT", "SEARCH", "SUBSCRIBE")
BODY = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("metrics")
    tiny.write_verified(repository, "m")
    tiny.write_plain(repository, "broken", b"no model")
    with tiny.live_server(Settings(repository=repository)) as url:
        yield url


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server) as client:
        yield client


def families(http):
    page = http.get("/metrics").text
    return {family.name: family for family in parser.text_string_to_metric_families(page)}


def series(http):
    found = families(http).values()
    return {(s.name, *sorted(s.labels.items())) for family in found for s in family.samples}


def test_the_page_is_text_by_default_and_openmetrics_where_a_scraper_asks_for_it(http):
    plain = http.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    accept = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    page = http.get("/metrics", headers={"Accept": accept})
    assert page.headers["content-type"].startswith("application/openmetrics-text")
    names = {each.name for each in openmetrics_parser.text_string_to_metric_families(page.text)}
    assert {"nv_inference_request_success", "normserve_batch_rows"} <= names


def test_each_series_is_there_once(http):
    samples = [
        (sample.name, *sorted(sample.labels.items()))
        for family in families(http).values()
        for sample in family.samples
    ]
    assert len(samples) == len(set(samples))


def send_what_nobody_has_sent(http, number):
    """Each kind of request, with names of its own."""
    new = f"new{number}"
    for method, path in [
        ("POST", "/v2/models/m/infer"),
        ("POST", f"/v2/models/{new}/infer"),
        ("POST", f"/v2/models/m/versions/{number + 7}/infer"),
        ("GET", f"/v2/models/{new}"),
        ("GET", f"/v2/models/m/infer?{new}"),
        ("GET", f"/{new}/%00%ff/{new}"),
        (METHODS[number % len(METHODS)], f"/{new}"),
        ("POST", f"/v2/repository/models/{new}/load"),
    ]:
        body = BODY | {"id": new, "parameters": {new: new}}
        http.request(method, path, json=body, headers={"X-Request-ID": new})


def test_whatever_a_client_sends_adds_no_series(http):
    send_what_nobody_has_sent(http, 0)
    http.get("/metrics")
    before = series(http)
    for number in range(1, 126):  # 1000 requests
        send_what_nobody_has_sent(http, number)
    after = series(http)
    assert after == before
    assert not [sample for sample in after if "new" in str(sample)]


def test_requests_are_counted_by_the_template_of_their_route(http):
    http.post("/v2/models/m/infer", json=BODY)
    labels = {"method": "POST", "route": "/v2/models/{model}/infer", "status": "200"}
    counted = families(http)["normserve_http_requests"].samples
    assert [sample.value for sample in counted if sample.labels == labels] >= [1]


def test_what_cannot_be_served_has_a_state_and_nothing_else(http):
    found = {name for name, *labels in series(http) if ("model", "broken") in labels}
    assert found == {"normserve_model_state"}
