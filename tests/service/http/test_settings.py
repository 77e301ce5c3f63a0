"""Trace and log settings over HTTP, as Triton's clients read and change them."""

import httpx
import pytest
import tritonclient.http as triton

from service.settings import Settings
from tests.service import tiny

TRACES = "/v2/trace/setting"
MODEL_TRACES = "/v2/models/versions/trace/setting"
LOGS = "/v2/logging"

TRACES_AT_START = {
    "trace_level": ["TIMESTAMPS"],
    "trace_rate": "1",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "opentelemetry",
}
LOGS_AT_START = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


@pytest.fixture(scope="module")
def tracing_url(repository):
    """A server that could send traces, to nobody: none of these tests asks for an inference."""
    with tiny.live_server(
        Settings(repository=repository, otel_endpoint="http://127.0.0.1:9", trace_ratio=0)
    ) as url:
        yield url


@pytest.fixture
def http(tracing_url):
    with httpx.Client(base_url=tracing_url) as client:
        yield client
        everything = dict.fromkeys(TRACES_AT_START)
        for path in (TRACES, MODEL_TRACES):
            assert client.post(path, json=everything).json() == TRACES_AT_START
        assert client.post(LOGS, json=LOGS_AT_START).json() == LOGS_AT_START


@pytest.fixture
def client(tracing_url, http):
    with triton.InferenceServerClient(tracing_url.removeprefix("http://")) as connected:
        yield connected


def test_tritonclient_reads_and_changes_trace_settings(client):
    assert client.get_trace_settings() == TRACES_AT_START
    assert client.get_trace_settings("versions") == TRACES_AT_START
    own = client.update_trace_settings("versions", {"trace_rate": "12", "log_frequency": "34"})
    assert own == TRACES_AT_START | {"trace_rate": "12", "log_frequency": "34"}
    changes = {"trace_rate": "56", "trace_count": "78", "trace_level": ["OFF"]}
    assert client.update_trace_settings(settings=changes) == TRACES_AT_START | changes
    assert client.get_trace_settings("versions") == TRACES_AT_START | changes | {
        "trace_rate": "12",
        "log_frequency": "34",
    }
    cleared = client.update_trace_settings("versions", {"trace_rate": None})
    assert cleared["trace_rate"] == "56"
    cleared = client.update_trace_settings(settings={"trace_rate": None, "trace_count": None})
    assert cleared == TRACES_AT_START | {"trace_level": ["OFF"]}
    assert client.get_trace_settings("versions")["log_frequency"] == "34"


def test_tritonclient_reads_and_changes_log_settings(client):
    assert client.get_log_settings() == LOGS_AT_START
    changes = {"log_info": False, "log_verbose_level": 3, "log_format": "ISO8601"}
    assert client.update_log_settings(changes) == LOGS_AT_START | changes
    assert client.get_log_settings() == LOGS_AT_START | changes


@pytest.mark.parametrize("path", [TRACES, LOGS])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_body_without_settings_changes_nothing(http, path, body):
    assert http.post(path, content=body).json() == http.get(path).json()


def test_a_level_may_be_given_without_a_list(http):
    assert http.post(TRACES, json={"trace_level": "OFF"}).json()["trace_level"] == ["OFF"]


def test_a_model_that_nobody_knows_is_404(http):
    path = "/v2/models/nobody/trace/setting"
    for reply in (http.get(path), http.post(path, json={"trace_rate": "2"})):
        assert reply.status_code == 404
        assert reply.json() == {"error": "there is no model 'nobody'"}


@pytest.mark.parametrize("path", [TRACES, MODEL_TRACES])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"trace_rate": 5}, "'trace_rate' must be a string, an array of strings, or null"),
        ({"trace_rate": 5}, "got a number, 5"),
        ({"trace_rate": True}, "got a boolean"),
        ({"trace_level": [1]}, "got an array of something else"),
        ({"trace_level": {"a": "b"}}, "got an object"),
        ({"trace_rate": "x"}, "trace_rate is 'x'"),
        ({"trace_level": ["TENSORS"]}, "it may be OFF or TIMESTAMPS"),
        ({"trace_file": "a.json"}, "this server writes no trace files"),
        ({"trace_mode": "triton"}, "trace_mode is 'triton'"),
        ({"unheard": "of"}, "there is no trace setting 'unheard'"),
        ({"x" * 10_000: "of"}, "there is no trace setting 'xxx"),
    ],
)
def test_trace_settings_that_cannot_be_are_400(http, path, body, message):
    reply = http.post(path, json=body)
    assert reply.status_code == 400
    assert message in reply.json()["error"]
    assert http.get(path).json() == TRACES_AT_START


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"log_info": "true"}, "log_info must be true or false; got a string, 'true'"),
        ({"log_verbose_level": -1}, "log_verbose_level must be an integer from 0"),
        ({"log_verbose_level": "1"}, "got a string, '1'"),
        ({"log_verbose_level": 2**64 - 1}, "from 0 to 4294967295"),
        ({"log_verbose_level": 1.0}, "got a number, 1.0"),
        ({"log_format": "xml"}, "log_format must be default or ISO8601"),
        ({"log_format": {}}, "got an object"),
        ({"log_file": "server.log"}, "log_file cannot be set"),
    ],
)
def test_log_settings_that_cannot_be_are_400(http, body, message):
    reply = http.post(LOGS, json=body)
    assert reply.status_code == 400
    assert message in reply.json()["error"]
    assert http.get(LOGS).json() == LOGS_AT_START


@pytest.mark.parametrize("path", [TRACES, MODEL_TRACES, LOGS])
@pytest.mark.parametrize("body", [b"[]", b"null", b"{", b'{"a":1,"a":2}', b"\xff"])
def test_what_is_no_object_is_400(http, path, body):
    reply = http.post(path, content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]


def test_where_no_traces_can_be_sent_they_cannot_be_turned_on(url):
    with httpx.Client(base_url=url) as http:
        assert http.get(TRACES).json()["trace_level"] == ["OFF"]
        for path in (TRACES, MODEL_TRACES):
            reply = http.post(path, json={"trace_level": ["TIMESTAMPS"]})
            assert reply.status_code == 400
            assert "NORMSERVE_OTEL_ENDPOINT" in reply.json()["error"]


def test_the_extension_is_named_only_where_it_works(url, http):
    assert "trace" in http.get("/v2").json()["extensions"]
    elsewhere = httpx.get(f"{url}/v2").json()["extensions"]
    assert "trace" not in elsewhere
    assert "logging" in elsewhere
