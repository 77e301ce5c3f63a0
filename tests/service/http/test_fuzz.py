"""Whatever arrives, the server answers in its form, below 500, and goes on."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATHS = st.sampled_from(
    [
        f"/v2/models/{name}/infer"
        for name in ("identity-fp32", "identity-bytes", "add", "embedding", "scalar", "broken")
    ]
    + ["/v2/repository/index"]
)
GOOD = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
).encode()


@st.composite
def damaged(draw):
    """A good request with some bytes replaced, dropped or doubled."""
    body = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(body)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Inference-Header-Content-Length": st.sampled_from(
            ["0", "2", str(len(GOOD)), "-1", "99999999999999999999", "a"]
        ),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
        "Accept-Encoding": st.sampled_from(["gzip", "deflate;q=0.1", "*;q=x", ""]),
        "Content-Type": st.sampled_from(["application/json", "text/html", "multipart/form-data"]),
    },
)


@pytest.mark.parametrize("kind", ["any bytes", "damaged request"])
@given(data=st.data())
@settings(
    deadline=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_bytes_arrive_are_answered_below_500(http, kind, data):
    body = data.draw(st.binary(max_size=200) if kind == "any bytes" else damaged())
    path, headers = data.draw(PATHS), data.draw(HEADERS)
    reply = http.post(path, content=body, headers=headers)
    assert reply.status_code < 500 or (reply.status_code == 503 and "broken" in path)
    if reply.status_code >= 400:
        assert reply.json().keys() == {"error"}
    assert http.post("/v2/models/identity-fp32/infer", content=GOOD).status_code == 200
