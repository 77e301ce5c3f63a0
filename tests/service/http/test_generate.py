"""The generate routes, which have no client library: as curl asks them."""

import json

import pytest

ADD = "/v2/models/add"


def test_outputs_come_flat_under_their_names(http):
    reply = http.post(f"{ADD}/generate", json={"a": [5, 3], "b": [1, 2], "id": "ж"})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "model_name": "add",
        "model_version": "1",
        "id": "ж",
        "z": [6, 5],
        "m": [4, 1],
    }


def test_one_text_in_is_one_text_out(http):
    reply = http.post("/v2/models/identity-bytes/generate", json={"x": ["a", "b", "c"]})
    assert reply.json()["y"] == ["a", "b", "c"]
    assert http.post("/v2/models/scalar/generate", json={"x": 2.5}).json()["y"] == 2.5


def test_a_stream_is_one_event(http):
    body = {"a": [5, 3], "parameters": {"b": [1, 2]}}
    reply = http.post(f"{ADD}/generate_stream", json=body)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.text.startswith("data: ")
    assert reply.text.endswith("\n\n")
    assert reply.text.count("\n") == 2
    assert json.loads(reply.text[6:]) == http.post(f"{ADD}/generate", json=body).json()


@pytest.mark.parametrize("route", ["generate", "generate_stream"])
def test_a_version_is_chosen_and_the_reply_names_it(http, route):
    for version in (9, 10):
        reply = http.post(f"/v2/models/versions/versions/{version}/{route}", json={"x": [1, 1]})
        told = json.loads(reply.text.removeprefix("data: "))
        assert (told["model_version"], told["y"]) == (str(version), [version, version])


@pytest.mark.parametrize("route", ["generate", "generate_stream"])
@pytest.mark.parametrize(
    ("model", "body", "status", "said"),
    [
        ("nobody", {}, 404, "no model 'nobody'"),
        ("add/versions/7", {}, 404, "no version 7"),
        ("add", {"a": [1, 2]}, 400, "the model also wants 'b'"),
        ("add", {"a": "x", "b": 1}, 400, "1 elements, which do not fill the shape (rows, 2)"),
        ("identity-fp16", {"x": [1, 2, 3]}, 400, "is FP16, which JSON cannot carry; ask infer"),
        ("embedding", {"x": 99}, 400, ""),
    ],
)
def test_an_error_is_told_as_everywhere(http, route, model, body, status, said):
    reply = http.post(f"/v2/models/{model}/{route}", json=body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert said in reply.json()["error"]


def test_a_body_that_is_no_json_is_refused(http):
    assert http.post(f"{ADD}/generate", content=b"{").status_code == 400
    assert http.get(f"{ADD}/generate").status_code == 405
