"""Triton's four Python clients where they change the server: models, traces, the log."""

import json

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.service import tiny


@pytest.fixture(autouse=True)
def _as_it_was(client):
    yield
    client.ask("load_model", "changing")


def answer(client):
    tensor = client.tensor(np.ones((1, 2), np.float32))
    result = client.ask("infer", "changing", [tensor])
    return client.response(result)["model_version"], float(result.as_numpy("y")[0, 0])


def traced(client, *model):
    told = client.told("get_trace_settings", *model)
    if client.is_grpc:
        told = {name: setting["value"] for name, setting in told["settings"].items()}
    return {name: value if isinstance(value, list) else [value] for name, value in told.items()}


def logged(client, **changes):
    told = (
        client.told("update_log_settings", changes) if changes else client.told("get_log_settings")
    )
    if client.is_grpc:
        told = {name: next(iter(value.values())) for name, value in told["settings"].items()}
    return told


def test_a_model_is_unloaded_and_loaded(client):
    client.ask("unload_model", "changing")
    assert not client.ask("is_model_ready", "changing")
    with pytest.raises(InferenceServerException, match="changing"):
        answer(client)
    client.ask("unload_model", "changing", unload_dependents=True)
    client.ask("load_model", "changing")
    assert client.ask("is_model_ready", "changing")
    assert answer(client) == ("1", 2)


def test_a_model_that_is_not_there_is_unloaded_without_complaint_and_not_loaded(client):
    client.ask("unload_model", "nobody")
    with pytest.raises(InferenceServerException, match="nobody"):
        client.ask("load_model", "nobody")


def test_a_model_is_loaded_with_another_configuration(client):
    client.ask("load_model", "changing", config=json.dumps({"max_batch_size": 4}))
    told = client.told("get_model_config", "changing")
    assert (told["config"] if client.is_grpc else told)["max_batch_size"] == 4
    client.ask("load_model", "changing")
    told = client.told("get_model_config", "changing")
    assert not (told["config"] if client.is_grpc else told).get("max_batch_size")


def test_a_model_is_loaded_from_files_of_the_client(client):
    model = tiny.scale(7.0).SerializeToString()
    client.ask("load_model", "changing", config="{}", files={"file:7/model.onnx": model})
    assert answer(client) == ("7", 7)
    client.ask("load_model", "changing")
    assert answer(client) == ("1", 2)


def test_a_model_that_cannot_be_loaded_leaves_the_one_before_it(client):
    with pytest.raises(InferenceServerException, match="version 1"):
        client.ask("load_model", "changing", config="{}", files={"file:1/model.onnx": b"none"})
    assert answer(client) == ("1", 2)


@pytest.mark.parametrize("config", ["{", "[]", '{"max_batch_size": "many"}'])
def test_a_configuration_that_is_none_is_refused(client, config):
    with pytest.raises(InferenceServerException, match="config"):
        client.ask("load_model", "changing", config=config)
    assert answer(client) == ("1", 2)


def test_trace_settings_are_read_changed_and_cleared(client):
    assert traced(client)["trace_level"] == ["OFF"]
    client.ask("update_trace_settings", settings={"trace_rate": "5"})
    assert traced(client)["trace_rate"] == traced(client, "add")["trace_rate"] == ["5"]
    client.ask("update_trace_settings", "add", {"trace_rate": "7"})
    assert traced(client, "add")["trace_rate"] == ["7"]
    assert traced(client)["trace_rate"] == ["5"]
    client.ask("update_trace_settings", "add", {"trace_rate": None})
    assert traced(client, "add")["trace_rate"] == ["5"]
    client.ask("update_trace_settings", settings={"trace_rate": None})
    assert traced(client)["trace_rate"] == ["1"]


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (None, {"trace_rate": "often"}),
        (None, {"trace_level": ["SOMETIMES"]}),
        (None, {"no_such_setting": "1"}),
        ("nobody", {"trace_rate": "1"}),
    ],
)
def test_trace_settings_that_cannot_be_are_refused(client, model, settings):
    before = traced(client)
    with pytest.raises(InferenceServerException):
        client.ask("update_trace_settings", model, settings)
    assert traced(client) == before


def test_log_settings_are_read_and_changed(client):
    before = logged(client)
    assert before["log_info"] is True
    assert logged(client, log_verbose_level=1)["log_verbose_level"] == 1
    assert logged(client, log_verbose_level=0, log_format="ISO8601")["log_format"] == "ISO8601"
    assert logged(client, log_format="default") == before


@pytest.mark.parametrize("settings", [{"log_file": "/tmp/log"}, {"log_format": "verse"}])  # noqa: S108 - is refused
def test_log_settings_that_cannot_be_are_refused(client, settings):
    before = logged(client)
    with pytest.raises(InferenceServerException):
        client.ask("update_log_settings", settings)
    assert logged(client) == before


def test_shared_memory_is_off_unless_a_setting_turns_it_on(client):
    with pytest.raises(InferenceServerException, match="CLIENT_SHARED_MEMORY"):
        client.ask("register_system_shared_memory", "region", "/region", 16)
    assert not client.told("get_system_shared_memory_status")
    assert not client.told("get_cuda_shared_memory_status")
