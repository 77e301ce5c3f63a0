import numpy as np
import pytest
import tritonclient.http as triton

VALUES = np.array([[1, 9, 4], [7, 8, 7]], np.float32)


@pytest.fixture(scope="module")
def client(url):
    with triton.InferenceServerClient(url.removeprefix("http://")) as connected:
        yield connected


def classes(client, count, *, binary):
    given = triton.InferInput("x", [2, 3], "FP32")
    given.set_data_from_numpy(VALUES)
    wanted = triton.InferRequestedOutput("y", binary_data=binary, class_count=count)
    return client.infer("identity-fp32", [given], outputs=[wanted])


@pytest.mark.parametrize("binary", [True, False])
def test_the_largest_values_of_each_row_are_given_as_text(client, binary):
    reply = classes(client, 2, binary=binary)
    assert reply.get_output("y")["datatype"] == "BYTES"
    ranked = [
        item.decode() if isinstance(item, bytes) else item for item in reply.as_numpy("y").ravel()
    ]
    assert ranked == ["9.000000:1", "4.000000:2", "8.000000:1", "7.000000:0"]
    assert reply.as_numpy("y").shape == (2, 2)


def test_no_classes_are_the_output_itself(client):
    assert (classes(client, 0, binary=True).as_numpy("y") == VALUES).all()


@pytest.mark.parametrize("count", [-1, "2", 1.5, True])
def test_what_is_no_number_of_classes_is_refused(http, count):
    reply = http.post(
        "/v2/models/identity-fp32/infer",
        json={
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}],
            "outputs": [{"name": "y", "parameters": {"classification": count}}],
        },
    )
    assert reply.status_code == 400
    assert "'classification' must be a number of classes" in reply.json()["error"]


def test_an_output_without_a_ranking_is_refused(http):
    reply = http.post(
        "/v2/models/identity-bool/infer",
        json={
            "inputs": [{"name": "x", "datatype": "BOOL", "shape": [1, 3], "data": [True] * 3}],
            "outputs": [{"name": "y", "parameters": {"classification": 1}}],
        },
    )
    assert reply.status_code == 400
    assert "output 'y' is BOOL" in reply.json()["error"]
