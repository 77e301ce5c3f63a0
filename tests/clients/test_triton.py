"""Every public method of Triton's four Python clients, unchanged, against a server process."""

import ml_dtypes
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from bundle import Datatype
from tests.clients.networks import values


def ones(client, columns=2):
    return [client.tensor(np.ones((1, columns), np.float32))]


# --- the server and its models -----------------------------------------------------------------


def test_the_server_is_live_and_ready(client):
    assert client.ask("is_server_live")
    assert client.ask("is_server_ready")


def test_a_model_is_ready_and_one_that_is_not_there_is_not(client):
    assert client.ask("is_model_ready", "add")
    assert client.ask("is_model_ready", "versions", "9")
    assert not client.ask("is_model_ready", "versions", "3")
    assert not client.ask("is_model_ready", "nobody")


def test_the_server_says_what_it_is(client):
    told = client.told("get_server_metadata")
    assert told["name"] == "normserve"
    assert {"binary_tensor_data", "classification", "statistics"} <= set(told["extensions"])


def test_a_model_says_what_it_takes_and_gives(client):
    told = client.told("get_model_metadata", "mixed")
    assert told["platform"] == "onnxruntime_onnx"
    assert [(t["name"], t["datatype"]) for t in told["inputs"]] == [
        ("f", "FP32"),
        ("i", "INT64"),
        ("s", "BYTES"),
    ]
    assert [t["name"] for t in told["outputs"]] == ["out_s", "out_f", "out_i"]
    assert [list(map(int, t["shape"])) for t in told["inputs"]] == [[-1]] * 3


def test_versions_are_told_as_text_in_the_order_of_numbers(client):
    assert client.told("get_model_metadata", "versions")["versions"] == ["2", "9", "10"]
    assert client.told("get_model_metadata", "versions", "9")["versions"] == ["9"]


def test_a_model_that_is_not_there_is_named_in_the_error(client):
    for ask in ("get_model_metadata", "get_model_config", "get_inference_statistics"):
        with pytest.raises(InferenceServerException, match="nobody"):
            client.ask(ask, "nobody")
    with pytest.raises(InferenceServerException, match="no version 3"):
        client.ask("get_model_metadata", "versions", "3")


def test_the_configuration_leaves_out_the_batch_where_the_model_batches(client):
    told = client.told("get_model_config", "classifier")
    config = told["config"] if client.is_grpc else told
    assert config["max_batch_size"] == 8
    assert list(map(int, config["output"][0]["dims"])) == [5]
    assert config["output"][0]["label_filename"] == "labels.txt"
    told = client.told("get_model_config", "add", "1")
    config = told["config"] if client.is_grpc else told
    assert [list(map(int, each["dims"])) for each in config["input"]] == [[-1, 2]] * 2


def test_the_repository_has_every_version_with_its_state(client):
    told = client.told("get_model_repository_index")
    entries = told["models"] if client.is_grpc else told
    found = {(entry["name"], entry["version"]): entry["state"] for entry in entries}
    assert found["add", "1"] == found["versions", "2"] == found["versions", "10"] == "READY"


def test_statistics_count_what_was_asked(client):
    def count():
        told = client.told("get_inference_statistics", "identity-uint8", "1")
        (model,) = told["model_stats"]
        return int(model.get("inference_count", 0)), model

    before, _ = count()
    tensor = client.tensor(values(Datatype.UINT8))
    for _ in range(3):
        client.ask("infer", "identity-uint8", [tensor])
    after, model = count()
    assert after - before == 3
    assert int(model["execution_count"]) <= after
    assert int(model["inference_stats"]["success"]["count"]) == after
    assert int(model["inference_stats"]["compute_infer"]["ns"]) > 0
    assert model["batch_stats"]
    everything = client.told("get_inference_statistics")["model_stats"]
    assert {"add", "versions", "identity-uint8"} <= {each["name"] for each in everything}


# --- inference ---------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", Datatype)
def test_every_datatype_comes_back_bit_for_bit(client, datatype):
    sent = values(datatype)
    got = client.ask("infer", f"identity-{datatype.lower()}", [client.tensor(sent)]).as_numpy("y")
    assert got.shape == sent.shape
    assert got.dtype == (ml_dtypes.bfloat16 if datatype is Datatype.BF16 else sent.dtype)
    assert got.tolist() == sent.tolist()


def test_inputs_and_outputs_are_found_by_name_whatever_their_order(client):
    n = 4
    inputs = [
        client.tensor(np.array([b"\xff", b"", b"a" * 1000, b"d"], object), name="s"),
        client.tensor(np.arange(n) + 2**60, name="i", binary=False),
        client.tensor(np.full(n, 0.1, np.float32), name="f"),
    ]
    wanted = [client.wanted("out_i", binary=False), client.wanted("out_s")]
    result = client.ask("infer", "mixed", inputs, outputs=wanted)
    assert result.as_numpy("out_i").tolist() == [2**60, 2**60 + 1, 2**60 + 2, 2**60 + 3]
    assert result.as_numpy("out_s").tolist() == [b"\xff", b"", b"a" * 1000, b"d"]
    assert result.as_numpy("out_f") is None
    assert [o["name"] for o in client.response(result)["outputs"]] == ["out_s", "out_i"]
    everything = client.ask("infer", "mixed", inputs)
    assert [o["name"] for o in client.response(everything)["outputs"]] == [
        "out_s",
        "out_f",
        "out_i",
    ]


def test_empty_tensors_keep_their_shape(client):
    result = client.ask("infer", "free", [client.tensor(np.zeros((0, 4), np.float32))])
    assert client.response(result)["outputs"][0]["shape"] in ([0, 4], ["0", "4"])
    empty = client.tensor(np.zeros((0, 3), object))
    assert client.ask("infer", "identity-bytes", [empty]).as_numpy("y").shape == (0, 3)


def test_scalars_go_both_ways(client):
    result = client.ask("infer", "scalar", [client.tensor(np.float32(2.5))])
    assert result.as_numpy("y").shape == ()
    assert result.as_numpy("y") == 2.5


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's own
def test_sixteen_megabytes_go_both_ways(client):
    sent = np.random.default_rng(0).standard_normal((2, 2**21), np.float32)
    got = client.ask("infer", "free", [client.tensor(sent)]).as_numpy("y")
    np.testing.assert_array_equal(got, sent)


@pytest.mark.parametrize(("version", "factor"), [("", 10), ("2", 2), ("9", 9)])
def test_a_version_is_chosen_and_the_reply_names_it(client, version, factor):
    result = client.ask("infer", "versions", ones(client), model_version=version)
    assert client.response(result)["model_version"] == str(factor)
    assert (result.as_numpy("y") == factor).all()


@pytest.mark.parametrize("name", ["7", 'quotes " and \\', "ж 漢字", "n" * 500])
def test_a_request_id_comes_back_exactly(client, name):
    result = client.ask("infer", "add", both(client), request_id=name)
    assert client.response(result)["id"] == name


def both(client):
    return [client.tensor(np.array([[5, 3]], np.int32), name=name) for name in ("a", "b")]


def test_a_request_without_an_id_gets_none(client):
    assert not client.response(client.ask("infer", "add", both(client))).get("id")


def test_priorities_timeouts_sequences_and_parameters_of_others_are_taken(client):
    result = client.ask(
        "infer",
        "add",
        both(client),
        priority=2,
        timeout=60_000_000,
        sequence_id=2**40,
        sequence_start=True,
        sequence_end=True,
        parameters={"mine": "text", "count": 3, "really": True},
    )
    assert result.as_numpy("z").tolist() == [[10, 6]]
    result = client.ask("infer", "add", both(client), sequence_id="one", sequence_start=True)
    assert result.as_numpy("m").tolist() == [[0, 0]]


def test_headers_of_others_are_taken(client):
    headers = {"x-mine": "1", "authorization": "Bearer whatever"}
    assert client.ask("is_server_live", headers=headers)
    client.ask("infer", "add", both(client), headers=headers)


def test_classes_are_given_with_their_labels(client):
    rows = np.array([[1, 9, 4, 9, 0], [5, 4, 3, 2, 1]], np.float32)
    wanted = [client.wanted(class_count=2)]
    got = client.ask("infer", "classifier", [client.tensor(rows)], outputs=wanted).as_numpy("y")
    assert got.tolist() == [
        [b"9.000000:1:bee", b"9.000000:3:dog"],
        [b"5.000000:0:ant", b"4.000000:1:bee"],
    ]


def test_more_classes_than_there_are_are_all_of_them(client):
    wanted = [client.wanted(class_count=100)]
    tensor = client.tensor(np.ones((1, 5), np.float32))
    got = client.ask("infer", "classifier", [tensor], outputs=wanted).as_numpy("y")
    assert got.shape == (1, 5)


@pytest.mark.parametrize(
    ("model", "tensors", "said"),
    [
        ("nobody", [("x", np.ones((1, 2), np.float32))], "no model 'nobody'"),
        ("versions", [("x", np.ones((1, 3), np.float32))], r"the model wants \(rows, 2\)"),
        ("versions", [("x", np.ones((1, 2)))], "FP64; the model wants FP32"),
        ("versions", [("z", np.ones((1, 2), np.float32))], "'z' is not one of the model's"),
        ("add", [("a", np.ones((1, 2), np.int32))], "the model also wants 'b'"),
        ("add", [("a", np.ones((1, 2), np.int32))] * 2, "'a' is given twice"),
    ],
)
def test_what_is_wrong_reaches_the_caller_as_a_message(client, model, tensors, said):
    inputs = [client.tensor(array, name=name) for name, array in tensors]
    with pytest.raises(InferenceServerException, match=said):
        client.ask("infer", model, inputs)
    assert client.ask("infer", "add", both(client)).as_numpy("z") is not None


def test_an_output_that_is_not_there_is_refused(client):
    with pytest.raises(InferenceServerException, match="'q' is not one of the model's"):
        client.ask("infer", "add", both(client), outputs=[client.wanted("q")])
