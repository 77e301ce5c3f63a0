"""Requests that go past the app are answered as the app answers them."""

import json

import numpy as np
import pytest

from tests.clients import networks
from tests.clients.process import served
from tests.clients.wire import GOOD, INFER, Wire, request
from tests.service import tiny

TO_THE_APP = {"X-Other": "a\r\nX-Other: b"}
"""A header twice: harmless, and out of the ordinary."""

ROW = np.arange(3, dtype=np.float32).tobytes()
HEADER = json.dumps(
    {
        "id": "7",
        "inputs": [
            {
                "name": "x",
                "shape": [1, 3],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 12},
            }
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
).encode()
BINARY = {"Inference-Header-Content-Length": str(len(HEADER))}
CLASSES = json.loads(GOOD) | {"outputs": [{"name": "y", "parameters": {"classification": 2}}]}
PROVED = json.loads(GOOD) | {"parameters": {"normserve_provenance": 1}}
LARGE = {
    "inputs": [{"name": "x", "shape": [23_400, 3], "datatype": "FP32", "data": [0.5] * 70_200}]
}
CASES = {
    "JSON": (INFER, GOOD, {}),
    "a version": ("/v2/models/versions/versions/9/infer", GOOD, {}),
    "compressed": (INFER, GOOD, {"Accept-Encoding": "gzip, deflate"}),
    "much, compressed": (INFER, json.dumps(LARGE).encode(), {"Accept-Encoding": "gzip"}),
    "much": (INFER, json.dumps(LARGE).encode(), {}),
    "binary": (INFER, HEADER + ROW, BINARY),
    "binary, compressed": (INFER, HEADER + ROW, BINARY | {"Accept-Encoding": "deflate"}),
    "raw": (INFER, ROW, {"Inference-Header-Content-Length": "0"}),
    "classes": (INFER, json.dumps(CLASSES).encode(), {}),
    "no JSON": (INFER, b"{", {}),
    "nothing": (INFER, b"", {}),
    "a wrong type": (INFER, GOOD.replace(b"FP32", b"INT8"), {}),
    "a wrong parameter": (INFER, json.dumps(PROVED).encode(), {}),
    "too little": (INFER, HEADER + ROW[:-1], BINARY),
    "no such model": ("/v2/models/nobody/infer", GOOD, {}),
    "no such version": ("/v2/models/versions/versions/3/infer", GOOD, {}),
    "no number": ("/v2/models/versions/versions/x/infer", GOOD, {}),
    "a header that is no number": (INFER, GOOD, {"Inference-Header-Content-Length": "x"}),
    "a coding": (INFER, GOOD, {"Content-Encoding": "br"}),
    "shared memory": (
        INFER,
        GOOD.replace(
            b'"data": [1, 2, 3]',
            b'"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 12}',
        ),
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_that_of_the_app(server, case):
    path, body, headers = CASES[case]
    replies = []
    with Wire(server.port) as wire:
        for extra in ({}, {}, TO_THE_APP):  # the second one has a head that is known
            wire.send(request(path, body, **(headers | extra)))
            replies.append(wire.read())
    for reply in replies:
        assert len(reply.headers["X-Request-ID"]) == 32
        del reply.headers["X-Request-ID"], reply.headers["Date"]
    *others, of_the_app = replies
    for reply in others:
        assert reply.status == of_the_app.status
        assert sorted(reply.headers.items()) == sorted(of_the_app.headers.items())
        assert reply.body == of_the_app.body


def test_both_are_logged_and_counted_alike(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    with served(tmp_path) as running, Wire(running.port) as wire:
        for extra in ({}, TO_THE_APP):
            for body in (GOOD, b"{"):
                wire.send(request(INFER, body, X_Request_ID="mine", **extra))
                assert wire.read().headers["X-Request-ID"] == "mine"
        wire.send(request("/metrics", method="GET"))
        metrics = wire.read("GET").body.decode()

        def logged():
            return [line for line in running.lines if line.get("request_id") == "mine"]

        tiny.wait_for(lambda: len(logged()) == 4)
    route = 'method="POST",route="/v2/models/{model}/infer"'
    for status in (200, 400):
        assert f'normserve_http_requests_total{{{route},status="{status}"}} 2.0' in metrics
    for line in logged():
        assert line.pop("duration_ms") > 0
        del line["timestamp"]
    good, bad, *others = logged()
    assert [good, bad] == others
    assert (good["status"], bad["status"]) == (200, 400)


def test_who_goes_away_is_not_computed_for(tmp_path):
    tiny.write_plain(tmp_path, "slow", tiny.slow(1000 * networks.SLOW))
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]})
    with served(tmp_path) as running:
        with Wire(running.port) as wire:
            wire.send(request("/v2/models/slow/infer", body.encode()))
            with Wire(running.port) as other:

                def pending():
                    other.send(request("/metrics", method="GET"))
                    text = other.read("GET").body.decode()
                    sample = 'nv_inference_pending_request_count{model="slow",version="1"} '
                    return float(text.partition(sample)[2].partition("\n")[0])

                tiny.wait_for(lambda: pending() == 1)
        with Wire(running.port) as other:
            tiny.wait_for(lambda: pending() == 0)
        tiny.wait_for(lambda: any(line.get("status") == 499 for line in running.lines))
