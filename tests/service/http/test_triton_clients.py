"""Triton's own Python clients, unchanged, against a live server."""

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from bundle import Datatype
from service.settings import Settings
from tests.service import tiny


@pytest.fixture(scope="module")
def client(url):
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def some(datatype):
    if datatype is Datatype.BYTES:
        return np.array([[b"\xff\0a", "é".encode(), b""]], dtype=object)
    if datatype is Datatype.BOOL:
        return np.array([[True, False, True]])
    return np.array([[1, 2, 3]]).astype(datatype.numpy)


def given(module, datatype, array, *, binary, name="x"):
    tensor = module.InferInput(name, list(array.shape), str(datatype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def test_the_server_and_its_models_are_found(client):
    assert client.is_server_live()
    assert not client.is_server_ready()  # one of the repository's models is broken
    assert client.is_model_ready("identity-fp32")
    assert client.is_model_ready("versions", "9")
    assert not client.is_model_ready("broken")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "normserve"
    assert client.get_model_metadata("add")["inputs"][0]["shape"] == [-1, 2]
    assert {"name", "version", "state", "reason"} == client.get_model_repository_index()[0].keys()


@pytest.mark.parametrize("datatype", Datatype)
def test_every_datatype_goes_both_ways_as_binary(client, datatype):
    array = some(datatype)
    result = client.infer(
        f"identity-{datatype.lower()}", [given(triton, datatype, array, binary=True)]
    )
    got = result.as_numpy("y")
    assert got.shape == array.shape
    assert got.tolist() == array.tolist()
    assert got.dtype == (ml_dtypes.bfloat16 if datatype is Datatype.BF16 else array.dtype)


@pytest.mark.parametrize(
    "datatype", [d for d in Datatype if d not in (Datatype.FP16, Datatype.BF16, Datatype.BYTES)]
)
@pytest.mark.parametrize("binary_out", [True, False])
def test_every_datatype_that_json_has_goes_both_ways(client, datatype, binary_out):
    array = some(datatype)
    result = client.infer(
        f"identity-{datatype.lower()}",
        [given(triton, datatype, array, binary=False)],
        outputs=[triton.InferRequestedOutput("y", binary_data=binary_out)],
        request_id="é 1",
    )
    np.testing.assert_array_equal(result.as_numpy("y"), array)
    assert result.get_response()["id"] == "é 1"


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression_goes_both_ways(client, request_coding, response_coding, binary):
    array = np.arange(30_000, dtype=np.float32).reshape(-1, 3)
    result = client.infer(
        "identity-fp32",
        [given(triton, Datatype.FP32, array, binary=binary)],
        outputs=[triton.InferRequestedOutput("y", binary_data=binary)],
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
    )
    np.testing.assert_array_equal(result.as_numpy("y"), array)


def test_an_empty_tensor_goes_both_ways(client):
    array = np.zeros((0, 3), np.float32)
    result = client.infer("identity-fp32", [given(triton, Datatype.FP32, array, binary=True)])
    assert result.as_numpy("y").shape == (0, 3)


def test_an_error_reaches_the_caller_as_its_message(client):
    array = np.zeros((1, 4), np.float32)
    with pytest.raises(InferenceServerException, match=r"the model wants \(rows, 3\)"):
        client.infer("identity-fp32", [given(triton, Datatype.FP32, array, binary=True)])


def test_many_requests_at_once_are_each_answered_with_their_own(url):
    with triton.InferenceServerClient(url.removeprefix("http://"), concurrency=8) as client:
        pending = []
        for number in range(64):
            array = np.full((1, 3), number, np.float32)
            tensor = given(triton, Datatype.FP32, array, binary=bool(number % 2))
            pending.append(client.async_infer("identity-fp32", [tensor]))
        for number, request in enumerate(pending):
            assert request.get_result().as_numpy("y").tolist() == [[number] * 3]


@pytest.mark.parametrize("binary", [True, False])
async def test_the_asyncio_client_works_too(url, binary):
    async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
        assert await client.is_server_live()
        assert (await client.get_model_metadata("add"))["name"] == "add"
        inputs = [
            given(
                triton_aio, Datatype.INT32, np.array([[n, n]], np.int32), binary=binary, name=name
            )
            for name, n in (("a", 5), ("b", 3))
        ]
        result = await client.infer("add", inputs)
        assert result.as_numpy("z").tolist() == [[8, 8]]
        result = await client.infer(
            "add",
            inputs,
            outputs=[triton_aio.InferRequestedOutput("m", binary_data=binary)],
            request_compression_algorithm="gzip",
            response_compression_algorithm="gzip",
        )
        assert result.as_numpy("m").tolist() == [[2, 2]]
        assert result.as_numpy("z") is None


def test_statistics_count_what_was_asked(client):
    name = "identity-uint16"
    before = client.get_inference_statistics(name)["model_stats"][0]
    for _ in range(3):
        client.infer(name, [given(triton, Datatype.UINT16, some(Datatype.UINT16), binary=True)])
    after = client.get_inference_statistics(name, "1")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["inference_stats"]["success"]["count"] == after["execution_count"]
    assert after["batch_stats"][0]["batch_size"] == 1
    everything = client.get_inference_statistics()["model_stats"]
    assert {"add", "versions"} <= {each["name"] for each in everything}
    with pytest.raises(InferenceServerException, match="nobody"):
        client.get_inference_statistics("nobody")


def test_the_configuration_is_told(client):
    assert client.get_model_config("add")["platform"] == "onnxruntime_onnx"


def test_models_are_loaded_replaced_and_unloaded_by_a_client(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    with (
        tiny.live_server(Settings(repository=tmp_path)) as url,
        triton.InferenceServerClient(url.removeprefix("http://")) as client,
    ):
        ones = [given(triton, Datatype.FP32, np.ones((1, 2), np.float32), binary=True)]
        assert client.infer("m", ones).as_numpy("y")[0, 0] == 2
        client.unload_model("m")
        assert not client.is_model_ready("m")
        assert client.is_server_ready()
        client.unload_model("m")
        tiny.write_verified(tmp_path, "m", version=2, factor=3.0)
        client.load_model("m")
        assert client.infer("m", ones).as_numpy("y")[0, 0] == 3
        states = {(e["version"], e["state"]) for e in client.get_model_repository_index()}
        assert states == {("2", "READY")}
        with pytest.raises(InferenceServerException, match="no model 'nobody'"):
            client.load_model("nobody")
