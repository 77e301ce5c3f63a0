"""Requests made to hurt: large, deep, ambiguous or strangely named. Each is refused or answered."""

import gzip
import json
import zlib

import pytest

INFER = "/v2/models/identity-fp32/infer"
TENSOR = '{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}'
GOOD = f'{{"inputs": [{TENSOR}]}}'

BODIES = {
    "arrays 100,000 deep": '{"inputs": ' + "[" * 10**5 + "]" * 10**5 + "}",
    "objects 100,000 deep": '{"a":' * 10**5 + "1" + "}" * 10**5,
    "arrays that never end": "[" * 10**5,
    "an object with a name twice": f'{{"inputs": [], "inputs": [{TENSOR}]}}',
    "an input with a name twice": f'{{"inputs": [{TENSOR[:-1]}, "data": [4, 5, 6]}}]}}',
    "a name twice, once escaped": f'{{"inputs": [], "\\u0069nputs": [{TENSOR}]}}',
    "a lone surrogate": '{"id": "\\ud800", "inputs": [' + TENSOR + "]}",
    "a byte order mark": "\ufeff" + GOOD,
    "UTF-16": GOOD.encode("utf-16"),
    "a comment": GOOD + " // no",
    "two documents": GOOD + GOOD,
    "an integer of 100,000 digits": GOOD.replace("1, 2", "1" * 10**5 + ", 2"),
    "a number of a huge exponent": GOOD.replace("1, 2", "1e400, 2"),
    "a shape of 100,000 ones": GOOD.replace("[1, 3]", "[" + "1," * 10**5 + "3]"),
    "a shape whose product wraps": GOOD.replace("[1, 3]", f"[{2**32}, {2**32}, 3]"),
    "a shape of -0": GOOD.replace("[1, 3]", "[-0.0, 3]"),
    "50,000 inputs": '{"inputs": [' + ",".join(['{"name":"a"}'] * 50_000) + "]}",
    "an id that is an array": '{"id": [], "inputs": [' + TENSOR + "]}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_made_to_hurt_is_refused(http, body):
    content = body if isinstance(body, bytes) else body.encode()
    reply = http.post(INFER, content=content)
    assert reply.status_code == 400, reply.text[:200]
    assert 0 < len(reply.json()["error"]) < 1000
    assert http.post(INFER, content=GOOD).status_code == 200


def test_20_000_unknown_fields_and_parameters_are_read_over(http):
    fields = {f"field {number}": number for number in range(10_000)}
    body = fields | {"parameters": fields} | json.loads(GOOD)
    reply = http.post(INFER, content=json.dumps(body))
    assert reply.status_code == 200
    assert len(reply.content) < 500


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress)],
    ids=["gzip", "deflate"],
)
@pytest.mark.parametrize("path", [INFER, "/v2/repository/index", "/v2/models/add/generate"])
def test_a_body_that_grows_beyond_the_limit_is_refused_on_every_route(http, path, coding, pack):
    bomb = pack(b" " * 2**26)
    assert len(bomb) < 2**17
    reply = http.post(path, content=bomb, headers={"Content-Encoding": coding})
    assert reply.status_code == 413
    assert "1048576 bytes" in reply.json()["error"]


@pytest.mark.parametrize(
    "name",
    [
        "a%00b",
        "%00",
        "%2e%2e",
        "..%2F..%2Fetc%2Fpasswd",
        "%2Fetc%2Fpasswd",
        "a%2Fb",
        "..%5c..%5cwindows",
        "n" * 8000,
        "%F0%9F%90%8D",
        "%FF%FE",
        "%C0%AE%C0%AE",
        "%",
        "%zz",
        "a%0d%0aSet-Cookie:%20a=b",
        "%1b%5b31m",
        "identity-fp32%20",
        "IDENTITY-FP32",
        "{model}",
        "%7Bmodel%7D",
        "*",
        "a;b",
    ],
)
@pytest.mark.parametrize("rest", ["", "/ready", "/config", "/stats", "/infer", "/load"])
def test_a_strange_name_is_the_name_of_no_model(http, name, rest):
    if rest == "/load":
        reply = http.post(f"/v2/repository/models/{name}/load")
    elif rest == "/infer":
        reply = http.post(f"/v2/models/{name}/infer", content=GOOD)
    else:
        reply = http.get(f"/v2/models/{name}{rest}")
    assert reply.status_code in (400, 404, 405), reply.text[:200]
    assert "set-cookie" not in reply.headers
    told = reply.json()["error"]
    assert len(told) < 300
    assert told.isprintable()


def test_a_long_chain_of_versions_is_no_route(http):
    assert http.get("/v2/models/add" + "/versions/1" * 500).status_code == 404
