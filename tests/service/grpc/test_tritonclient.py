"""Triton's own client, which nobody here wrote, against a live server."""

import queue

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from bundle import Datatype
from service.settings import Settings
from tests.service import tiny
from tests.service.grpc.conftest import live_grpc_server


def tensor(array, *, name="x", datatype=None):
    given = triton.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array)
    return given


VALUES = {
    Datatype.BOOL: np.array([[True, False, True]]),
    Datatype.UINT64: np.array([[0, 2**53 + 1, 2**64 - 1]], np.uint64),
    Datatype.INT64: np.array([[-(2**63), 2**53 + 1, 2**63 - 1]]),
    Datatype.INT8: np.array([[-128, 0, 127]], np.int8),
    Datatype.FP16: np.array([[0.5, -2, np.inf]], np.float16),
    Datatype.BF16: np.array([[0.5, -2, 3]], ml_dtypes.bfloat16),
    Datatype.FP32: np.array([[0.1, np.nan, -np.inf]], np.float32),
    Datatype.FP64: np.array([[0.1, 1e300, -0.0]]),
    Datatype.BYTES: np.array([["ä", "", "\0"]], object),
}


@pytest.mark.parametrize("datatype", VALUES, ids=str)
def test_every_datatype_comes_back_bit_for_bit(client, datatype):
    sent = VALUES[datatype]
    reply = client.infer(
        f"identity-{datatype.lower()}", [tensor(sent, datatype=datatype.value)], request_id="ü"
    )
    got = reply.as_numpy("y")
    assert reply.get_response().id == "ü"
    if datatype is Datatype.BYTES:
        assert [item.decode() for item in got.ravel()] == list(sent.ravel())
    else:
        assert got.astype(sent.dtype).tobytes() == sent.tobytes()


def test_health_and_metadata_are_told(client):
    assert client.is_server_live()
    assert client.is_model_ready("add")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("broken")
    assert client.get_server_metadata().name == "normserve"
    metadata = client.get_model_metadata("versions")
    assert metadata.versions == ["2", "9", "10"]
    assert list(metadata.inputs[0].shape) == [-1, 2]


def test_the_index_names_every_version_with_its_state_and_reason(client):
    states = {(m.name, m.version): m for m in client.get_model_repository_index().models}
    assert states["add", "1"].state == "READY"
    assert states["broken", "1"].state == "UNAVAILABLE"
    assert states["broken", "1"].reason


@pytest.mark.parametrize(("version", "factor"), [("", 10), ("2", 2), ("9", 9)])
def test_a_version_is_chosen_and_the_reply_names_it(client, version, factor):
    reply = client.infer("versions", [tensor(np.ones((1, 2), np.float32))], model_version=version)
    assert reply.get_response().model_version == str(factor)
    assert (reply.as_numpy("y") == factor).all()


def test_a_request_over_grpcs_own_limit_of_4_mb_is_answered(client):
    big = np.zeros((500_000, 3), np.float32)
    assert client.infer("identity-fp32", [tensor(big)]).as_numpy("y").shape == big.shape


def test_a_stream_answers_in_order_and_goes_on_after_an_error(client):
    replies = queue.Queue()
    client.start_stream(lambda result, error: replies.put((result, error)))
    for number in range(20):
        if number == 7:
            client.async_stream_infer("nobody", [tensor(np.ones((1, 3), np.float32))])
        else:
            sent = np.full((1, 3), number, np.float32)
            client.async_stream_infer("identity-fp32", [tensor(sent)], request_id=str(number))
    got = [replies.get(timeout=20) for _ in range(20)]
    client.stop_stream()
    assert [result.get_response().id for result, _ in got if result] == [
        str(number) for number in range(20) if number != 7
    ]
    assert "nobody" in got[7][1].message()
    assert (got[19][0].as_numpy("y") == 19).all()
    assert got[0][0].get_response().parameters["triton_final_response"].bool_param


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(InferenceServerException, match=r"NOT_FOUND.*nobody"):
        client.infer("nobody", [tensor(np.ones((1, 3), np.float32))])


def test_classes_are_given_as_text(client):
    wanted = triton.InferRequestedOutput("y", class_count=1)
    sent = tensor(np.array([[1, 9, 4]], np.float32))
    assert client.infer("identity-fp32", [sent], outputs=[wanted]).as_numpy("y") == [
        [b"9.000000:1"]
    ]


def test_the_configuration_is_told(client):
    config = client.get_model_config("versions", as_json=True)["config"]
    assert config["name"] == "versions"
    assert config["input"][0]["dims"] == ["-1", "2"]


def test_statistics_count_what_was_asked(client):
    sent = tensor(np.ones((1, 3), np.int32))
    for _ in range(2):
        client.infer("identity-int32", [sent])
    (seen,) = client.get_inference_statistics("identity-int32").model_stats
    assert seen.inference_count >= 2
    assert seen.inference_stats.success.count == seen.inference_count
    assert seen.inference_stats.success.ns > seen.inference_stats.compute_infer.ns


def test_models_are_loaded_and_unloaded_by_a_client(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    with (
        live_grpc_server(Settings(repository=tmp_path)) as address,
        triton.InferenceServerClient(address) as client,
    ):
        client.unload_model("m")
        assert not client.is_model_ready("m")
        client.load_model("m")
        assert client.is_model_ready("m")
        (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"no model")
        with pytest.raises(InferenceServerException, match=r"FAILED_PRECONDITION.*version 1"):
            client.load_model("m")
        assert client.is_model_ready("m")
