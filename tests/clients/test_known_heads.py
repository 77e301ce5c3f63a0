"""Requests whose head was sent before: they need not be parsed, and nothing else is different."""

import time

import httpx
import pytest

from tests.clients.process import served
from tests.clients.wire import GOOD, INFER, Wire, request
from tests.service import tiny

ASKED = request(INFER, GOOD)
HEAD, END, BODY = ASKED.partition(b"\r\n\r\n")
OTHER = GOOD.replace(b"[1, 2, 3]", b"[4, 5, 6]")


@pytest.fixture
def wire(server):
    """A connection that has sent the head already."""
    with Wire(server.port) as wire:
        assert asked(wire, ASKED) == [1, 2, 3]
        yield wire


def asked(wire, *parts):
    for part in parts:
        wire.send(part)
        time.sleep(0.05 * (len(parts) > 1))
    return wire.read().json["outputs"][0]["data"]


def test_the_body_is_what_counts(wire):
    assert asked(wire, ASKED) == [1, 2, 3]
    assert asked(wire, HEAD + END + OTHER) == [4, 5, 6]
    assert asked(wire, ASKED) == [1, 2, 3]


@pytest.mark.parametrize("at", [1, 10, len(HEAD), len(HEAD) + 2, len(HEAD + END), len(ASKED) - 1])
def test_it_may_come_in_pieces(wire, at):
    assert asked(wire, ASKED[:at], ASKED[at:]) == [1, 2, 3]
    assert asked(wire, HEAD + END + OTHER) == [4, 5, 6]


def test_so_may_the_next_one_come_with_it(wire):
    wire.send(ASKED, HEAD, END, OTHER, ASKED[:30])
    assert wire.read().json["outputs"][0]["data"] == [1, 2, 3]
    assert wire.read().json["outputs"][0]["data"] == [4, 5, 6]
    assert asked(wire, ASKED[30:]) == [1, 2, 3]


def test_lines_between_requests_are_passed_over(wire):
    for between in (b"\r\n", b"\r\n\r\n"):
        assert asked(wire, between + ASKED) == [1, 2, 3]
        assert asked(wire, between, ASKED) == [1, 2, 3]


@pytest.mark.parametrize("rest", [b"", b"x" * 100, ASKED, b"NONSENSE\r\n\r\n"])
def test_what_is_no_http_is_refused_as_ever_and_once(wire, rest):
    wire.send(b"NONSENSE\r\n\r\n" + rest)
    assert wire.read().status == 400
    assert wire.is_closed()


def test_a_connection_that_is_to_be_closed_is(wire):
    for _ in range(2):
        wire.send(ASKED)
        assert wire.read().status == 200
    wire.send(request(INFER, GOOD, Connection="close"))
    assert wire.read().status == 200
    assert wire.is_closed()


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n"])
def test_where_a_head_ends_is_for_the_parser_to_say(server, end):
    """Lines that end otherwise are refused or read, and the second time as the first."""
    inner = GOOD[:-1] + b"\r\n\r\n}"
    sent = request(INFER, inner).replace(b"\r\n\r\n", end, 1)
    found = []
    for _ in range(3):
        with Wire(server.port) as wire:
            wire.send(sent)
            reply = wire.read()
            found.append((reply.status, reply.body))
    assert len(set(found)) == 1


def test_a_model_that_went_is_not_there(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    with served(tmp_path) as running, Wire(running.port) as wire:
        for _ in range(2):
            assert asked(wire, ASKED) == [1, 2, 3]
        httpx.post(f"{running.url}/v2/repository/models/identity-fp32/unload").raise_for_status()
        wire.send(ASKED)
        refused = wire.read()
        assert refused.status in (400, 404, 503)
        assert "identity-fp32" in refused.json["error"]
        httpx.post(f"{running.url}/v2/repository/models/identity-fp32/load").raise_for_status()
        assert asked(wire, ASKED) == [1, 2, 3]


def test_a_key_is_looked_at_each_time(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(tiny.Datatype.FP32))
    right = request(INFER, GOOD, Authorization="Bearer open-sesame")
    wrong = request(INFER, GOOD, Authorization="Bearer open-please")
    with (
        served(tmp_path, inference_keys="open-sesame") as running,
        Wire(running.port) as wire,
    ):
        for _ in range(3):
            wire.send(right)
            assert wire.read().status == 200
            for without in (wrong, ASKED):
                wire.send(without)
                assert wire.read().status == 401
