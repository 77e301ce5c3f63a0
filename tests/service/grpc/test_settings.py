"""Trace and log settings over gRPC, as Triton's client reads and changes them."""

import grpc
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from service.grpc import schema
from service.settings import Settings

TRACES_AT_START = {
    "trace_level": ["TIMESTAMPS"],
    "trace_rate": ["1"],
    "trace_count": ["-1"],
    "log_frequency": ["0"],
    "trace_file": [""],
    "trace_mode": ["opentelemetry"],
}


@pytest.fixture(scope="module")
def tracing_url(live_grpc, repository):
    """A server that could send traces, to nobody."""
    with live_grpc(
        Settings(repository=repository, otel_endpoint="http://127.0.0.1:9", trace_ratio=0)
    ) as address:
        yield address


@pytest.fixture(scope="module")
def tracing_client(tracing_url):
    with triton.InferenceServerClient(tracing_url) as client:
        yield client


def traces(response):
    return {name: list(setting.value) for name, setting in response.settings.items()}


def logs(response):
    return {
        name: getattr(setting, setting.WhichOneof("parameter_choice"))
        for name, setting in response.settings.items()
    }


def test_trace_settings(tracing_client):
    assert traces(tracing_client.get_trace_settings()) == TRACES_AT_START
    own = tracing_client.update_trace_settings("versions", {"trace_rate": "12"})
    assert traces(own) == TRACES_AT_START | {"trace_rate": ["12"]}
    changes = {"trace_level": ["OFF"], "trace_count": "78"}
    changed = traces(tracing_client.update_trace_settings(settings=changes))
    assert changed == TRACES_AT_START | {"trace_level": ["OFF"], "trace_count": ["78"]}
    own = traces(tracing_client.get_trace_settings("versions"))
    assert own == changed | {"trace_rate": ["12"]}
    nothing = dict.fromkeys(TRACES_AT_START)
    assert traces(tracing_client.update_trace_settings(settings=nothing)) == TRACES_AT_START
    assert traces(tracing_client.update_trace_settings("versions", nothing)) == TRACES_AT_START


def test_log_settings(tracing_client):
    at_start = logs(tracing_client.get_log_settings())
    assert at_start["log_info"] is True
    assert at_start["log_verbose_level"] == 0
    changes = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert logs(tracing_client.update_log_settings(changes)) == at_start | changes
    assert logs(tracing_client.update_log_settings({"log_info": None})) == at_start | changes
    assert logs(tracing_client.update_log_settings(at_start)) == at_start


@pytest.mark.parametrize(
    ("model", "changes", "code", "message"),
    [
        ("nobody", {"trace_rate": "2"}, "NOT_FOUND", "there is no model 'nobody'"),
        ("nobody", {}, "NOT_FOUND", "there is no model 'nobody'"),
        ("", {"trace_rate": "x"}, "INVALID_ARGUMENT", "trace_rate is 'x'"),
        ("", {"trace_rate": ["1", "2"]}, "INVALID_ARGUMENT", "trace_rate has 2 values"),
        ("", {"trace_file": "a"}, "INVALID_ARGUMENT", "writes no trace files"),
        ("", {"unheard": "of"}, "INVALID_ARGUMENT", "no trace setting 'unheard'"),
    ],
)
def test_trace_settings_that_cannot_be(tracing_client, model, changes, code, message):
    with pytest.raises(InferenceServerException) as caught:
        tracing_client.update_trace_settings(model, changes)
    assert caught.value.status() == f"StatusCode.{code}"
    assert message in caught.value.message()


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("log_info", "string_param", "yes", "log_info must be true or false"),
        ("log_info", "uint32_param", 1, "log_info must be true or false"),
        ("log_verbose_level", "bool_param", True, "an integer from 0"),
        ("log_format", "string_param", "xml", "default or ISO8601"),
        ("log_file", "string_param", "server.log", "log_file cannot be set"),
    ],
)
def test_log_settings_that_cannot_be(tracing_url, name, field, value, message):
    # tritonclient always sends the type that the setting has
    request = schema.message("LogSettingsRequest")()
    setattr(request.settings[name], field, value)
    with grpc.insecure_channel(tracing_url) as channel:
        ask = channel.unary_unary(f"/{schema.SERVICE.full_name}/LogSettings")
        with pytest.raises(grpc.RpcError) as caught:
            ask(request.SerializeToString(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.details()


def test_the_extension_is_named_only_where_it_works(tracing_client, client):
    assert "trace" in tracing_client.get_server_metadata().extensions
    assert "trace" not in client.get_server_metadata().extensions
    assert "logging" in client.get_server_metadata().extensions
