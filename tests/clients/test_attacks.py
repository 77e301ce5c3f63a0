"""What no honest client sends: refused or cut off, and the next client is answered."""

import random
import resource
import socket
import struct
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.clients import networks
from tests.clients.process import served
from tests.clients.wire import GOOD, INFER, Wire, assert_serves, request
from tests.service import tiny
from tests.service.tiny import wait_for

SMUGGLED = request("/v2/health/live")
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) * 8
CHUNKED = {"Transfer_Encoding": "chunked"}

NOT_HTTP = {
    "bytes of nothing": b"\x00\xff\xfe" * 100 + b"\r\n\r\n",
    "a TLS handshake": TLS_HELLO,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": request("/v2", version="9.9"),
    "no version": b"GET /v2\r\n\r\n",
    "a method nobody knows": request("/v2", method="FROB"),
    "no target": b"GET  HTTP/1.1\r\n\r\n",
    "a proxy's request": b"CONNECT test:443 HTTP/1.1\r\nHost: test\r\n\r\n",
    "a proxy's request with a path": b"CONNECT /p HTTP/1.1\r\nHost: test\r\n\r\n",
    "a proxy's request with a host": b"CONNECT //h/p HTTP/1.1\r\nHost: test\r\n\r\n",
    "a proxy's request with a URL": b"CONNECT http://h/p HTTP/1.1\r\nHost: test\r\n\r\n",
    "a proxy's request for all": b"CONNECT * HTTP/1.1\r\nHost: test\r\n\r\n",
    "a proxy's request to upgrade": b"CONNECT /p HTTP/1.1\r\nHost: test\r\n"
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a space in a header's name": b"GET /v2 HTTP/1.1\r\nHost : test\r\n\r\n",
    "a header without a name": b"GET /v2 HTTP/1.1\r\n: a\r\n\r\n",
    "a NUL in a header": b"GET /v2 HTTP/1.1\r\nA: b\0c\r\n\r\n",
    "a control character in the target": b"GET /v2\x01 HTTP/1.1\r\nHost: test\r\n\r\n",
    "a length below 0": request(INFER, GOOD, length=-1),
    "a length that is no number": request(INFER, GOOD, Content_Length="ten"),
    "a length with a sign": request(INFER, GOOD, Content_Length=f"+{len(GOOD)}"),
    "a length beyond all numbers": request(INFER, GOOD, Content_Length="9" * 30),
    "two lengths": b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": request(INFER, b"0\r\n\r\n" + SMUGGLED, length=5, **CHUNKED)
    .replace(b"Host: test", b"Host: test\r\nContent-Length: 5"),
    "chunks and a length": b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "a transfer coding nobody knows": b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunks that are not the last coding": b"POST /v2 HTTP/1.1\r\n"
    b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a chunk of no size": request(INFER, b"", **CHUNKED) + b"zz\r\n",
    "a chunk of a size beyond all numbers": request(INFER, b"", **CHUNKED) + b"f" * 20 + b"\r\n",
    "a chunk that goes on": request(INFER, b"", **CHUNKED) + b"1\r\nab\r\n0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_no_http_is_answered_400_and_the_connection_closed(server, sent):
    with Wire(server.port) as wire:
        wire.send(sent)
        reply = wire.read("GET")
        assert reply.status == 400
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.json["error"]
        assert reply.headers["Connection"] == "close"
        assert wire.is_closed()
    assert_serves(server.port)


def test_garbage_after_a_request_does_not_take_the_place_of_its_answer(server):
    with Wire(server.port) as wire:
        wire.send(request(INFER, GOOD), b"garbage\r\n\r\n")
        assert wire.read().status == 200
        assert wire.is_closed()


BEFORE = [
    request(INFER, GOOD),
    request(INFER, GOOD).replace(b"Host: test", b"Host: test\r\nHost: test"),  # to the app
]


@pytest.mark.parametrize("before", BEFORE, ids=["past the app", "by the app"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("after", [b"", request(INFER, GOOD)])
def test_nor_does_a_body_that_cannot_be_read(server, before, count, after):
    with Wire(server.port) as wire:
        wire.send(before * count, request(INFER, b"", **CHUNKED), b"zz\r\n", after)
        for _ in range(count):
            assert wire.read().json["outputs"][0]["data"] == [1, 2, 3]
        assert wire.read().status == 400
        assert wire.is_closed()


def test_what_follows_something_that_is_refused_is_not_carried_out(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    unload = request("/v2/repository/models/m/unload", b"{}", host="127.0.0.1")
    with served(tmp_path) as running:
        for refused in (b"NONSENSE\r\n\r\n", request(INFER, b"", **CHUNKED) + b"zz\r\n"):
            with Wire(running.port) as wire:
                wire.send(refused, unload)
                assert wire.read().status == 400
                assert wire.is_closed()
        with Wire(running.port) as wire:
            wire.send(request("/v2/models/m/ready"))
            assert wire.read("GET").status == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_that_vanish_are_no_error_and_leave_nothing(tmp_path, workers):
    """However many requests they have sent: to the app, past it, in part."""
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    part = request(INFER, b"x" * 20_000_000, length=20_000_001, Inference_Header_Content_Length="5")
    with served(tmp_path, http_workers=workers) as running:
        assert_serves(running.port)
        before = resident_mib(running.process.pid)
        for sent in [*[BEFORE[1] * 2, BEFORE[0] * 3, BEFORE[0] + BEFORE[1]] * 20, *[part] * 30]:
            with Wire(running.port) as wire:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                wire.send(sent)
        assert_serves(running.port)
        assert [line for line in running.lines if line.get("level") == "error"] == []
        # some bodies were on their way at the same time
        assert resident_mib(running.process.pid) < before + 200


def resident_mib(pid):
    """Of a process and those that it has started."""
    pids = [str(pid)]
    for one in pids:
        pids += Path(f"/proc/{one}/task/{one}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
    return pages * resource.getpagesize() / 2**20


def test_who_asks_without_end_is_answered_and_cut_off(server):
    asked = 5000
    with Wire(server.port) as wire:
        wire.send(request("/v2/health/live") * asked)
        answers = 0
        try:
            while wire.read("GET").status == 200:
                answers += 1
        except (OSError, HTTPException):
            assert 100 < answers < asked
    assert_serves(server.port)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_answered_already_takes_no_room(tmp_path, workers):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    endless = request("/v2/models/nobody/infer", b"", length=10**11)
    with (
        served(tmp_path, max_receiving_bytes=100_000, http_workers=workers) as running,
        Wire(running.port) as first,
        Wire(running.port) as second,
    ):
        for wire in (first, second):
            wire.send(endless)
            assert wire.read().status in (404, 413)
            for _ in range(30):
                wire.send(b" " * 20_000)
            for _ in range(2):
                assert_serves(running.port)


def test_a_smuggled_request_is_not_answered(server):
    """The length says that the rest is the next request; the chunks, that there is more body."""
    with Wire(server.port) as wire:
        wire.send(
            b"POST /v2 HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5c\r\n",
            SMUGGLED,
        )
        assert wire.read().status == 400
        assert wire.is_closed()


@pytest.mark.parametrize("seed", range(20))
def test_damaged_requests_are_never_a_defect_of_the_server(server, seed):
    dice = random.Random(seed)  # noqa: S311 - the same damage each time
    sent = bytearray(request(INFER, GOOD) * 2)
    for _ in range(5):
        at = dice.randrange(len(sent))
        sent[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(4))
    with Wire(server.port, timeout=0.5) as wire:
        try:
            wire.send(bytes(sent))
            while True:
                assert wire.read().status < 500
        except (OSError, ValueError):
            pass  # it waits for more, or has closed
    assert_serves(server.port)


def test_a_body_that_breaks_off_costs_nobody_else_anything(server):
    for part in (b"", GOOD[:20]):
        with Wire(server.port) as wire:
            wire.send(request(INFER, part, length=len(GOOD)))
    with Wire(server.port) as wire:
        wire.send(request(INFER, b"", **CHUNKED), b"ff\r\nabc")
    assert_serves(server.port)


@pytest.mark.parametrize("headers", [1, 100, 3000])
def test_headers_over_64_kib_are_refused(server, headers):
    extra = {f"X_{number}": "v" * (70_000 // headers) for number in range(headers)}
    with Wire(server.port) as wire:
        wire.send(request(INFER, GOOD, **extra))
        reply = wire.read()
        assert reply.status == 431
        assert "65536 bytes" in reply.json["error"]
        assert wire.is_closed()
    assert_serves(server.port)


def test_a_target_over_64_kib_is_refused(server):
    with Wire(server.port) as wire:
        wire.send(request("/" + "a" * 70_000))
        assert wire.read("GET").status == 431


def is_cut_off(wire, part):
    """Whether the server stops reading what never ends."""
    try:
        for _ in range(100_000):
            wire.send(part)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


@pytest.mark.parametrize("part", [b"x" * 1000, b"x\r\nX-Flood: 1"])
def test_a_head_without_end_is_cut_off(server, part):
    with Wire(server.port) as wire:
        wire.send(b"GET /v2 HTTP/1.1\r\nX: ")
        assert is_cut_off(wire, part)
    assert_serves(server.port)


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (b"1\r\n \r\n0\r\n", b"X-Flood: 1\r\n"),
        (b"1\r\n \r\n0\r\nX-Flood: ", b"x" * 1000),
        (b"1;", b"x" * 1000),
    ],
    ids=["trailers", "a trailer", "a chunk's extension"],
)
def test_what_is_no_content_of_a_body_is_cut_off_too(server, begun, part):
    with Wire(server.port) as wire:
        wire.send(request(INFER, b"", **CHUNKED), begun)
        assert is_cut_off(wire, part)
    assert_serves(server.port)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """A server that waits for its clients for one second."""
    folder = tmp_path_factory.mktemp("impatient")
    tiny.write_plain(folder, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    tiny.write_plain(folder, "slow", tiny.slow(4 * networks.SLOW))
    with served(folder, keep_alive_s=1) as running:
        yield running


@pytest.mark.parametrize(
    "begun",
    [b"GET /v2 HTTP/1.1\r\nHost: te", b"POST", request(INFER, GOOD[:5], length=len(GOOD))],
)
def test_a_request_that_does_not_go_on_is_answered_408(impatient, begun):
    with Wire(impatient.port, timeout=10) as wire:
        wire.send(begun)
        reply = wire.read()
        assert reply.status == 408
        assert "within 1 seconds" in reply.json["error"]
        assert wire.is_closed()


def test_a_head_that_drips_is_cut_off_however_many_do_it(impatient):
    wires = [Wire(impatient.port, timeout=10) for _ in range(200)]
    try:
        dripping = set(wires)

        def drip():
            for wire in tuple(dripping):
                try:
                    wire.send(b"G" if wire is wires[0] else b"GET /v2 HTTP/1.1\r\nX: a")
                except OSError:
                    dripping.discard(wire)
            return not dripping

        assert_serves(impatient.port)
        wait_for(drip)
        assert_serves(impatient.port)
    finally:
        for wire in wires:
            wire.__exit__()


def test_a_connection_on_which_nothing_is_sent_is_closed(impatient):
    with Wire(impatient.port, timeout=10) as wire:
        assert wire.is_closed()
    with Wire(impatient.port, timeout=10) as wire:
        wire.send(request(INFER, GOOD))
        assert wire.read().status == 200
        assert wire.is_closed()


def test_an_answer_that_takes_longer_than_that_is_given(impatient):
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}'
    with Wire(impatient.port) as wire:
        wire.send(request("/v2/models/slow/infer", body))
        assert wire.read().json["outputs"][0]["data"] == [1]


def test_a_body_that_goes_on_slowly_is_read(impatient):
    with Wire(impatient.port) as wire:
        wire.send(request(INFER, b"", length=len(GOOD)))
        for at in range(0, len(GOOD), 40):
            wire.send(GOOD[at : at + 40])
            assert_serves(impatient.port)
        assert wire.read().status == 200


def test_a_million_unknown_members_are_read_over(tmp_path):
    """On a server of its own: one that takes minutes for it would answer nobody else meanwhile."""
    members = b",".join(b'"k%d":%d' % (number, number) for number in range(10**6))
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    with served(tmp_path) as running, Wire(running.port) as wire:
        wire.send(request(INFER, b"{%b,%b" % (members, GOOD[1:])))
        assert wire.read().status == 200
        wire.send(request(INFER, b'{"parameters":{%b},%b' % (members, GOOD[1:])))
        assert wire.read().status == 200
        assert_serves(running.port)
