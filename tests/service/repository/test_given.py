"""Models that clients give with their requests, over the control and over both transports."""

import base64
import json
import tempfile
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
import tritonclient.grpc
import tritonclient.http
from onnx import external_data_helper
from tritonclient.utils import InferenceServerException

from service.errors import LoadFailed, ModelUnknown, ParameterInvalid
from service.repository import GivenModel
from service.settings import Settings
from tests.service import tiny
from tests.service.serving import ask, index, service_of

MODEL = tiny.scale(7.0).SerializeToString()


def given(*, config="{}", **files):
    """Files under names in which the version and a ``_`` stand before the file's name."""
    named = {f"file:{name.lstrip('v').replace('_', '/', 1)}": f for name, f in files.items()}
    return GivenModel.of_parameters({"config": config, **named})


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own, so that what is left in it is seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    for version in (1, 2, 3):
        tiny.write_verified(folder, "m", version=version, factor=float(version))
    return folder


async def test_a_configuration_takes_the_place_of_the_models_own_until_the_next_load(models):
    async with service_of(models) as service:
        config = {"version_policy": {"specific": {"versions": [1, 2]}}, "max_batch_size": 4}
        await service.control.load("m", GivenModel.of_parameters({"config": json.dumps(config)}))
        assert index(service).keys() == {("m", 1), ("m", 2)}
        assert service.plane.model_config("m").max_batch_size == 4
        await service.control.load("m")
        assert index(service) == {("m", 3): ("READY", "")}
        assert service.plane.model_config("m").max_batch_size == 0


async def test_a_configuration_that_does_not_fit_leaves_the_model_as_it_was(models):
    async with service_of(models) as service:
        for config in ('{"name": "other"}', '{"input": [{"name": "z"}]}', '{"backend": "python"}'):
            with pytest.raises(LoadFailed):
                await service.control.load("m", GivenModel.of_parameters({"config": config}))
        assert await ask(service) == (3.0, 3)


async def test_a_model_is_loaded_from_the_files_of_a_request_only(models, temporary):
    async with service_of(models) as service:
        model = given(**{"v1_model.onnx": MODEL})
        await service.control.load("m", model)
        assert index(service).keys() == {("m", 1)}
        assert await ask(service) == (7.0, 1)
        assert service.plane.model("m").properties["remark"].startswith("loaded from the files")
        await service.control.load("new", model)
        assert await ask(service, "new") == (7.0, 1)
        await service.control.load("m")
        assert await ask(service) == (3.0, 3)
        assert len(list(temporary.iterdir())) == 1
        await service.control.unload("new")
        assert list(temporary.iterdir()) == []
        with pytest.raises(ModelUnknown):
            await ask(service, "new")
        with pytest.raises(ModelUnknown):
            await service.control.load("new")


async def test_files_that_are_no_model_leave_the_old_one_and_nothing_behind(models, temporary):
    async with service_of(models) as service:
        with pytest.raises(LoadFailed):
            await service.control.load("m", given(**{"v3_model.onnx": b"no model"}))
        assert await ask(service) == (3.0, 3)
        with pytest.raises(ParameterInvalid, match=r"file:<version>/model\.onnx"):
            await service.control.load("m", given(**{"v1_other.txt": b"text"}))
        assert list(temporary.iterdir()) == []


async def test_what_was_given_is_gone_when_the_service_is(models, temporary):
    async with service_of(models) as service:
        await service.control.load("new", given(**{"v1_model.onnx": MODEL}))
        assert list(temporary.iterdir())
    assert list(temporary.iterdir()) == []


async def test_a_bundle_that_is_given_is_verified(models, tmp_path):
    tiny.write_verified(tmp_path / "other", "n", factor=9.0)
    folder = tmp_path / "other" / "n"
    files = {
        f"file:{path.relative_to(folder)}": path.read_bytes()
        for path in (folder / "1").rglob("*")
        if path.is_file()
    }
    async with service_of(models) as service:
        await service.control.load("n", GivenModel.of_parameters({"config": "{}", **files}))
        assert service.plane.model("n").properties["verified"] == "true"
        files["file:1/model.onnx"] = MODEL
        with pytest.raises(LoadFailed, match=r"'n/1/model\.onnx' was changed"):
            await service.control.load("n", GivenModel.of_parameters({"config": "{}", **files}))
        assert await ask(service, "n") == (9.0, 1)


@pytest.mark.parametrize(
    "path",
    [
        *("", "..", "../1/model.onnx", "1/../../model.onnx", "/1/model.onnx", "1//model.onnx"),
        *("01/model.onnx", "0/model.onnx", "x/model.onnx", "1/a\\b", "1/a\0b", "1/a\nb", "1/.x"),
        *("1/" + "a" * 256, "config.pbtxt", "1/a/b/c/d", ".hidden"),
    ],
)
def test_a_file_that_would_lie_elsewhere_is_refused(path):
    with pytest.raises(ParameterInvalid):
        GivenModel.of_parameters({"config": "{}", f"file:{path}": b"x"})


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"file:1/model.onnx": MODEL}, "without the parameter 'config'"),
        ({"config": 1}, "must be a string"),
        ({"config": "{}", "file:1/model.onnx": "text"}, "must be bytes"),
        ({"config": "{}", "file:1/a": b"", "file:1/a/b": b""}, "given as a file"),
        ({"config": "{}"} | {f"file:1/{n}": b"" for n in range(1001)}, "1000 at most"),
        ({"agent": "x"}, "'agent' is not offered"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, said):
    with pytest.raises(ParameterInvalid, match=said):
        GivenModel.of_parameters(parameters)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a\nb", "a" * 256])
async def test_a_model_that_cannot_be_called_so_is_refused(models, name, temporary):
    async with service_of(models) as service:
        with pytest.raises(ParameterInvalid, match="cannot be called"):
            await service.control.load(name, given(**{"v1_model.onnx": MODEL}))
        with pytest.raises(ModelUnknown):
            await service.control.load(name)
        assert list(temporary.iterdir()) == []


async def test_a_given_model_reads_no_files_but_its_own(models, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8))
    weights = np.ones((1, 2), np.float32)
    for location in (str(tmp_path / "secret"), "../../../secret"):
        model = tiny.build(
            [onnx.helper.make_node("Mul", ["x", "w"], ["y"])],
            {"x": (tiny.Datatype.FP32, ("rows", 2))},
            {"y": (tiny.Datatype.FP32, ("rows", 2))},
            {"w": weights},
        )
        (tensor,) = model.graph.initializer
        external_data_helper.set_external_data(tensor, location=location)
        tensor.ClearField("raw_data")
        async with service_of(models) as service:
            content = model.SerializeToString()
            with pytest.raises(LoadFailed):
                await service.control.load("new", given(**{"v1_model.onnx": content}))


async def test_so_many_models_may_be_given_and_no_more(models):
    async with service_of(models) as service:
        for number in range(64):
            await service.control.load(f"n{number}", given(**{"v1_model.onnx": MODEL}))
        with pytest.raises(ParameterInvalid, match="unload one"):
            await service.control.load("one-more", given(**{"v1_model.onnx": MODEL}))
        await service.control.load("n0", given(**{"v1_model.onnx": MODEL}))
        await service.control.unload("n0")
        await service.control.load("one-more", given(**{"v1_model.onnx": MODEL}))


@pytest.fixture
def live(models):
    settings = Settings(repository=models, consistency_at_load=False, max_request_bytes=2**20)
    with tiny.live_server(settings) as url:
        yield url


def test_tritonclient_gives_models_over_http(live):
    with tritonclient.http.InferenceServerClient(live.removeprefix("http://")) as client:
        client.load_model("m", config="{}", files={"file:1/model.onnx": MODEL})
        assert client.get_model_metadata("m")["versions"] == ["1"]
        with pytest.raises(InferenceServerException, match="without the parameter 'config'"):
            client.load_model("m", files={"file:1/model.onnx": MODEL})
        policy = {"version_policy": {"specific": {"versions": ["2"]}}}
        client.load_model("m", config=json.dumps(policy))
        assert client.get_model_metadata("m")["versions"] == ["2"]
        client.load_model("m")
        assert client.get_model_metadata("m")["versions"] == ["3"]


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"config": "{}", "file:1/model.onnx": base64.b64encode(MODEL).decode()}, 200),
        ({"config": "{}", "file:1/model.onnx": "no base 64!"}, 400),
        ({"config": "{}", "file:1/model.onnx": 1}, 400),
        ({"config": "{}", "file:1/../../model.onnx": ""}, 400),
        ({"config": "no json"}, 400),
        ({"unload_dependents": True}, 200),
        ({"unknown": True}, 400),
        ({"config": None}, 200),
    ],
)
def test_http_answers_what_the_control_says(live, parameters, status):
    reply = httpx.post(f"{live}/v2/repository/models/m/load", json={"parameters": parameters})
    assert reply.status_code == status, reply.text
    assert status == 200 or reply.json()["error"]


def test_files_beyond_the_limit_of_requests_are_refused(live):
    parameters = {"config": "{}", "file:1/model.onnx": "A" * 2**21}
    reply = httpx.post(f"{live}/v2/repository/models/m/load", json={"parameters": parameters})
    assert reply.status_code == 413


@pytest.mark.parametrize("action", ["index", "models/m/load", "models/m/unload"])
def test_a_repository_with_a_name_is_not_found(live, action):
    reply = httpx.post(f"{live}/v2/repository/other/{action}", json={})
    assert reply.status_code == 404
    assert "no repository 'other'" in reply.json()["error"]


def test_no_reply_tells_where_the_models_lie(live, models):
    (models / "m" / "3" / "model.onnx").write_bytes(b"changed")
    tiny.write_plain(models, "broken", b"no model")
    for name in ("m", "broken"):
        reply = httpx.post(f"{live}/v2/repository/models/{name}/load")
        assert reply.status_code == 400
        assert str(Path(models).parent) not in reply.text
    assert str(models.parent) not in httpx.post(f"{live}/v2/repository/index").text
