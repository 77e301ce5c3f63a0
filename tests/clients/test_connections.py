"""Connections as real clients use and misuse them: everything that HTTP/1.1 allows is answered."""

import json
from contextlib import ExitStack

import pytest

from tests.clients.process import served
from tests.clients.wire import GOOD, INFER, Wire, assert_serves, request
from tests.service import tiny

LIMIT = 64 * 2**20
"""The largest body by default."""


@pytest.fixture
def wire(server):
    with Wire(server.port) as opened:
        yield opened


def assert_answered(reply):
    assert reply.status == 200
    assert reply.json["outputs"][0]["data"] == [1, 2, 3]


def chunked(*chunks, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def test_a_connection_is_kept_through_every_kind_of_error(wire):
    for sent, status in [
        (request(INFER, GOOD), 200),
        (request("/v2/models/nobody/infer", GOOD), 404),
        (request(INFER, b"{"), 400),
        (request(INFER, GOOD, method="PUT"), 405),
        (request("/nowhere"), 404),
        (request(INFER, b"x" * 200_000), 400),
        (request("/v2/models/nobody/infer", b"x" * 200_000), 404),
        (request(INFER, GOOD, Content_Encoding="br"), 415),
        (request(INFER, GOOD, Inference_Header_Content_Length="x"), 400),
        (request("/v2/health/ready"), 200),
    ]:
        wire.send(sent)
        reply = wire.read()
        assert reply.status == status
        assert reply.headers["Content-Type"] == "application/json"
        assert status == 200 or reply.json.keys() == {"error"}
    wire.send(request(INFER, GOOD))
    assert_answered(wire.read())


def test_pipelined_requests_are_answered_in_their_order(wire):
    ids = [str(number) for number in range(50)]
    bodies = [json.dumps(json.loads(GOOD) | {"id": name}).encode() for name in ids]
    wire.send(*(request(INFER, body) for body in bodies))
    assert [wire.read().json["id"] for _ in ids] == ids


def test_the_head_of_the_next_request_may_come_with_the_end_of_a_large_body(wire):
    first = request(INFER, GOOD + b" " * 10**6) + request(INFER, GOOD)
    wire.send(first[:-120])
    assert_answered(wire.read())
    wire.send(first[-120:])
    assert_answered(wire.read())


def test_a_pipelined_error_does_not_take_the_place_of_another_answer(wire):
    slow = json.dumps(
        {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    ).encode()
    wire.send(request("/v2/models/slow/infer", slow), request(INFER, b"{"), request(INFER, GOOD))
    assert wire.read().json["model_name"] == "slow"
    assert wire.read().status == 400
    assert_answered(wire.read())


def test_a_client_that_sends_byte_after_byte_is_answered(wire):
    for byte in request(INFER, GOOD):
        wire.send(bytes([byte]))
    assert_answered(wire.read())


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_chunked_body_is_read_whatever_its_chunks(wire, size):
    parts = [GOOD[at : at + size] for at in range(0, len(GOOD), size)]
    wire.send(request(INFER, b"", Transfer_Encoding="chunked"), chunked(*parts))
    assert_answered(wire.read())


def test_a_body_of_100_000_chunks_is_read(wire):
    wire.send(request(INFER, b"", Transfer_Encoding="chunked"))
    wire.send(b"1\r\n \r\n" * 100_000, chunked(GOOD))
    assert_answered(wire.read())


def test_chunk_extensions_and_trailers_are_read_over(wire):
    body = b"%x;name=value\r\n%b\r\n0\r\nContent-Encoding: gzip\r\nX-Late: 1\r\n\r\n"
    wire.send(request(INFER, b"", Transfer_Encoding="chunked"), body % (len(GOOD), GOOD))
    assert_answered(wire.read())
    wire.send(request(INFER, GOOD))
    assert_answered(wire.read())


def test_a_client_that_waits_for_continue_gets_it(wire):
    wire.send(request(INFER, b"", length=len(GOOD), Expect="100-continue"))
    assert wire.read_line() == b"HTTP/1.1 100 Continue\r\n"
    assert wire.read_line() == b"\r\n"
    wire.send(GOOD)
    assert_answered(wire.read())


@pytest.mark.parametrize(
    ("path", "length", "status"), [("/v2/models/nobody/infer", 10, 404), (INFER, LIMIT + 1, 413)]
)
def test_a_client_that_waits_for_continue_in_vain_is_told_why_at_once(wire, path, length, status):
    wire.send(request(path, b"", length=length, Expect="100-continue"))
    assert wire.read().status == status


def test_http_1_0_is_answered_and_the_connection_closed(wire):
    wire.send(request(INFER, GOOD, version="1.0"))
    reply = wire.read()
    assert_answered(reply)
    assert reply.headers["Content-Length"]
    assert wire.is_closed()


def test_a_client_that_asks_for_it_gets_the_connection_closed(wire):
    wire.send(request(INFER, GOOD, Connection="close"))
    reply = wire.read()
    assert_answered(reply)
    assert reply.headers["Connection"] == "close"
    assert wire.is_closed()


@pytest.mark.parametrize("path", ["/v2", "/v2/health/ready", "/v2/models/add", "/metrics"])
def test_head_has_the_headers_of_get_and_no_body(wire, path):
    wire.send(request(path, method="HEAD"))
    head = wire.read("HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    wire.send(request("/v2/health/live"))
    assert wire.read("GET").json == {"live": True}


def test_head_of_an_error_has_no_body_either(wire):
    wire.send(request("/v2/models/nobody", method="HEAD"), request(INFER, method="HEAD"))
    assert wire.read("HEAD").status == 404
    assert wire.read("HEAD").status == 405
    wire.send(request(INFER, GOOD))
    assert_answered(wire.read())


@pytest.mark.parametrize("target", ["http://elsewhere.test", "http://elsewhere.test:1"])
def test_a_whole_url_as_the_target_is_a_path(wire, target):
    wire.send(request(target + INFER, GOOD))
    assert_answered(wire.read())


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMA"},
        {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"},
    ],
)
def test_an_upgrade_is_not_taken_and_the_request_answered(wire, headers):
    wire.send(request("/v2/health/live", **headers))
    assert wire.read("GET").json == {"live": True}


def test_an_upgrade_with_a_body_is_answered_too(wire):
    """As Java's client asks, whose first request always offers HTTP/2."""
    asked = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMA"}
    wire.send(request(INFER, GOOD, **asked))
    assert_answered(wire.read())
    head = request(INFER, b"", length=len(GOOD), **asked)
    wire.send(head)
    for byte in GOOD:
        wire.send(bytes([byte]))
    assert_answered(wire.read())
    wire.send(request(INFER, b"", Transfer_Encoding="chunked", **asked), chunked(GOOD))
    wire.send(request(INFER, GOOD, **asked), request(INFER, GOOD))
    for _ in range(3):
        assert_answered(wire.read())


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; charset=utf-16",
        "no type at all",
    ],
)
def test_the_content_type_is_not_looked_at(wire, content_type):
    headers = {} if content_type is None else {"Content_Type": content_type}
    wire.send(request(INFER, GOOD, **headers))
    assert_answered(wire.read())


def test_headers_of_60_000_bytes_are_taken(wire):
    wire.send(request(INFER, GOOD, X_Large="v" * 60_000))
    assert_answered(wire.read())


def test_a_query_changes_nothing(wire):
    wire.send(request(f"{INFER}?a=1&b=%00&infer", GOOD))
    assert_answered(wire.read())


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not(server):
    padding = b" " * (LIMIT - len(GOOD))
    with Wire(server.port) as wire:
        wire.send(request(INFER, GOOD + padding))
        assert_answered(wire.read())
        wire.send(request(INFER, b"", length=LIMIT + 1))
        reply = wire.read()
        assert reply.status == 413
        assert str(LIMIT) in reply.json["error"]
    with Wire(server.port) as wire:
        wire.send(request(INFER, b"", Transfer_Encoding="chunked"))
        wire.send(*(chunked(padding[: 2**20], end=b"") for _ in range(64)))
        wire.send(chunked(GOOD * 4))
        assert wire.read().status == 413
    assert_serves(server.port)


def test_bodies_that_are_not_answered_are_bounded_over_all_connections(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    piece = b" " * 400_000
    with served(tmp_path, max_receiving_bytes=1_000_000) as running, ExitStack() as stack:
        first, second, third = (stack.enter_context(Wire(running.port)) for _ in range(3))
        for wire in (first, second):  # neither is whole
            wire.send(request(INFER, GOOD + piece)[:-10])
        with Wire(running.port) as other:
            tiny.wait_for(lambda: _refuses(other, piece))
            assert_serves(running.port)
        first.send(piece[-10:])
        assert_answered(first.read())
        third.send(request(INFER, GOOD + piece))
        assert_answered(third.read())
        third.send(request(INFER, GOOD + 4 * piece))  # more than there may be, and too much of it
        assert third.read().status == 503


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Encoding: gzip\r\nContent-Encoding: gzip", 415),
        (b"Content-Encoding: identity\r\nContent-Encoding: identity", 200),
        (b"Inference-Header-Content-Length: 1\r\nInference-Header-Content-Length: 2", 400),
        (b"Inference-Header-Content-Length: %d \t" % len(GOOD), 200),
    ],
)
def test_headers_that_come_twice_or_with_white_space(wire, head, status):
    wire.send(request(INFER, GOOD).replace(b"Host: test", b"Host: test\r\n" + head))
    assert wire.read().status == status


@pytest.mark.parametrize("workers", [1, 2])
def test_what_there_is_no_room_for_is_not_carried_out(tmp_path, workers):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    path = "/v2/repository/models/identity-fp32/unload"
    unload = request(path, b'{"parameters": {}}', host="127.0.0.1")
    infer = request(INFER, GOOD)
    with (
        served(tmp_path, max_receiving_bytes=300, http_workers=workers) as running,
        ExitStack() as stack,
    ):

        def is_refused(sent):
            with Wire(running.port) as wire:
                wire.send(sent)
                return wire.read().status == 503 and wire.is_closed()

        for _ in range(workers):  # connections are dealt out in turn
            holding = stack.enter_context(Wire(running.port))
            holding.send(request(INFER, b" " * 295, length=1000))
        tiny.wait_for(lambda: all(is_refused(infer) for _ in range(workers)))
        logged = len(running.lines)
        for sent in (unload, infer, infer + unload) * 2:
            assert is_refused(sent)
        with Wire(running.port) as wire:
            wire.send(request("/v2/models/identity-fp32/ready"))
            assert wire.read("GET").status == 200
        told = [line for line in running.lines[logged:] if line.get("method") == "POST"]
        assert {line["status"] for line in told if line["path"] == INFER} == {503}
        assert {line["status"] for line in told if line["path"] != INFER} <= {499}


def _refuses(wire, piece):
    wire.send(request(INFER, GOOD + piece))
    reply = wire.read()
    if reply.status == 200:  # what the others have sent has not all been read yet
        return False
    assert reply.status == 503
    assert reply.headers["Retry-After"] == "1"
    assert "the most this server holds" in reply.json["error"]
    assert wire.is_closed()
    return True
