"""Several processes for HTTP answer as one does, over one engine."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import ssl
import threading
from http.client import HTTPException
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import trustme

from bundle import Datatype
from tests.clients import networks
from tests.clients.process import served
from tests.clients.test_express import CASES
from tests.clients.wire import GOOD, INFER, Wire, assert_serves, request
from tests.service import tiny
from tests.service.process import process

WORKERS = 2
VARYING = ("Date", "X-Request-ID")


@contextlib.contextmanager
def doubled(repository, **settings):
    """A server whose two have both been started."""
    with served(repository, http_workers=WORKERS, **settings) as running:
        tiny.wait_for(lambda: len(started(running.lines)) == WORKERS)
        yield running


@pytest.fixture(scope="module")
def fronted(repository):
    with doubled(repository) as running:
        yield running


@contextlib.contextmanager
def two_wires(port):
    """A connection to each of the two."""
    with Wire(port) as one, Wire(port) as other:
        yield one, other


def started(lines):
    """The processes that were started, in turn."""
    return [line["pid"] for line in lines if line["event"] == "HTTP process started"]


def ends_at(pid, wire):
    """Whether a process has the other end of a connection."""
    _, port = wire.socket.getsockname()
    inodes = {
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines())
        if fields[2].endswith(f":{port:04X}")
    }
    held = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return any(f"socket:[{inode}]" in held for inode in inodes)


def ask(wire, path=INFER, body=GOOD, **headers):
    wire.send(request(path, body, **headers))
    return wire.read()


def infer(name, value, columns=2):
    tensor = {"name": "x", "shape": [1, columns], "datatype": "FP32", "data": [value] * columns}
    return f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode()


def put(repository, network):
    """Another model m in place of the one that is there."""
    shutil.rmtree(repository / "m")
    tiny.write_plain(repository, "m", network)


def metric(port, sample):
    with Wire(port) as wire:
        wire.send(request("/metrics", method="GET"))
        text = wire.read("GET").body.decode()
    return float(text.partition(f"\n{sample} ")[2].partition("\n")[0] or 0)


def test_connections_are_dealt_out_in_turn(fronted):
    fronts = started(fronted.lines)
    assert len(fronts) == WORKERS
    with two_wires(fronted.port) as wires:
        ends = []
        for wire in wires:
            assert ask(wire).status == 200
            ends.append([ends_at(pid, wire) for pid in fronts])
    assert sorted(ends) == [[False, True], [True, False]]


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_that_of_one_process(server, fronted, case):
    path, body, headers = CASES[case]
    with Wire(server.port) as alone, two_wires(fronted.port) as wires:
        first, *others = [ask(wire, path, body, **headers) for wire in (alone, *wires)]
    for reply in (first, *others):
        assert len(reply.headers["X-Request-ID"]) == 32
        for name in VARYING:
            del reply.headers[name]
    for reply in others:
        assert reply.status == first.status
        assert reply.headers.items() == first.headers.items()
        assert reply.body == first.body


@pytest.mark.parametrize("datatype", Datatype)
@pytest.mark.parametrize("rows", [1, 5000])
def test_tensors_of_every_type_and_size_come_back_as_they_were(fronted, datatype, rows):
    values = np.repeat(networks.values(datatype), rows, axis=0)
    tensor = triton.InferInput("x", list(values.shape), datatype.value)
    tensor.set_data_from_numpy(values)
    with triton.InferenceServerClient(fronted.http) as client:
        result = client.infer(f"identity-{datatype.lower()}", [tensor])
    assert result.as_numpy("y").tolist() == values.tolist()


@pytest.mark.parametrize(
    "expected", ["foo", "", "100-continue, x", "100-Continue", "100-continue "]
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_a_client_expects_keeps_nobody_waiting(server, fronted, expected, version):
    for running in (server, fronted):
        with Wire(running.port, timeout=10) as wire:
            wire.send(request(INFER, GOOD, version=version, Expect=expected))
            reply = wire.read()  # goes over 100
            assert reply.status == 200
            assert reply.json["outputs"][0]["data"] == [1, 2, 3]


def test_what_is_not_quick_is_answered_on_the_same_connection(fronted):
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    packed = gzip.compress(GOOD)
    with two_wires(fronted.port) as wires:
        for wire in wires:
            assert ask(wire).status == 200
            wire.send(request("/v2/models/identity-fp32", method="GET"))
            assert wire.read("GET").json["name"] == "identity-fp32"
            wire.send(request("/v2/health/live", method="HEAD"))
            assert wire.read("HEAD").body == b""
            assert ask(wire, "/v2/nothing").status == 404
            wire.send(request(INFER, chunks, Transfer_Encoding="chunked"))
            assert wire.read().json["outputs"][0]["data"] == [1, 2, 3]
            assert ask(wire, body=packed, Content_Encoding="gzip").status == 200
            wire.send(request(INFER, GOOD, Expect="100-continue"))
            assert b"100 Continue" in wire.read_line()
            assert wire.read_line() == b"\r\n"
            assert wire.read().json["outputs"][0]["data"] == [1, 2, 3]
            assert ask(wire).status == 200


def test_both_are_logged_and_counted_alike(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(Datatype.FP32))
    seen = []
    for workers in (1, WORKERS):
        with served(tmp_path, http_workers=workers) as running:
            with Wire(running.port) as wire:
                for body in (GOOD, b"{"):
                    assert ask(wire, body=body, X_Request_ID="mine").headers["X-Request-ID"]

            def counted(port=running.port):
                route = 'method="POST",route="/v2/models/{model}/infer"'
                model = 'model="identity-fp32",version="1"'
                counts = [
                    metric(port, f'normserve_http_requests_total{{{route},status="200"}}'),
                    metric(port, f'normserve_http_requests_total{{{route},status="400"}}'),
                    metric(port, f"nv_inference_request_success{{{model}}}"),
                    metric(port, f"nv_inference_pending_request_count{{{model}}}"),
                ]
                return counts == [1, 1, 1, 0]

            def logged(lines=running.lines):
                return [line for line in lines if line.get("request_id") == "mine"]

            tiny.wait_for(counted)
            tiny.wait_for(lambda found=logged: len(found()) == 2)
            seen.append(logged())
    for line in (*seen[0], *seen[1]):
        assert line.pop("duration_ms") > 0
        del line["timestamp"]
    assert seen[0] == seen[1]


def test_a_switched_log_is_switched_in_all_of_them(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(Datatype.FP32))
    with (
        doubled(tmp_path) as running,
        httpx.Client(base_url=running.url) as client,
        two_wires(running.port) as wires,
    ):
        assert client.post("/v2/logging", json={"log_info": False}).status_code == 200
        for wire in wires:
            assert ask(wire, X_Request_ID="unseen").status == 200
        assert client.post("/v2/logging", json={"log_info": True}).status_code == 200
        for wire in wires:
            assert ask(wire, X_Request_ID="seen").status == 200

        def ids():
            return [line.get("request_id") for line in running.lines]

        tiny.wait_for(lambda: ids().count("seen") == 2)
        assert "unseen" not in ids()


def test_who_goes_away_is_not_computed_for(tmp_path):
    tiny.write_plain(tmp_path, "slow", tiny.slow(1000 * networks.SLOW))
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    pending = 'nv_inference_pending_request_count{model="slow",version="1"}'
    with doubled(tmp_path) as running:
        with Wire(running.port) as wire:
            wire.send(request("/v2/models/slow/infer", json.dumps(body).encode()))
            tiny.wait_for(lambda: metric(running.port, pending) == 1)
        tiny.wait_for(lambda: metric(running.port, pending) == 0)
        tiny.wait_for(lambda: any(line.get("status") == 499 for line in running.lines))


def test_what_waits_too_long_or_is_too_much_is_refused_as_ever(tmp_path):
    tiny.write_plain(tmp_path, "slow", tiny.slow(1000 * networks.SLOW))
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    body = json.dumps({"inputs": [tensor]}).encode()
    limited = json.dumps({"inputs": [tensor], "parameters": {"timeout": 1000}}).encode()
    path = "/v2/models/slow/infer"
    settings = {"concurrent_runs": 1, "max_waiting_requests": 0}
    with doubled(tmp_path, **settings) as running, two_wires(running.port) as (one, other):
        reply = ask(one, path, limited)
        assert reply.status == 503
        assert "1000 µs" in reply.json["error"]
        pending = 'nv_inference_pending_request_count{model="slow",version="1"}'
        tiny.wait_for(lambda: metric(running.port, pending) == 0)
        one.send(request(path, body))
        tiny.wait_for(lambda: metric(running.port, pending) == 1)
        reply = ask(other, path, body)
        assert reply.status == 503
        assert int(reply.headers["Retry-After"]) >= 1


def test_requests_of_both_run_as_one_batch(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    path, body = infer("m", 1.0)
    asked = json.dumps(json.loads(body) | {"parameters": {"normserve_provenance": True}}).encode()
    settings = {"consistency_at_load": True, "batch_delay_us": 1_000_000}
    with (
        doubled(tmp_path, **settings) as running,
        two_wires(running.port) as wires,
    ):
        fronts = started(running.lines)

        def told():
            for wire in wires:
                wire.send(request(path, asked))
            replies = [wire.read().json for wire in wires]
            assert [reply["outputs"][0]["data"] for reply in replies] == [[2, 2]] * 2
            return [reply["parameters"] for reply in replies]

        assert [ends_at(pid, wires[0]) for pid in fronts] != [
            ends_at(pid, wires[1]) for pid in fronts
        ]
        tiny.wait_for(
            lambda: [one["normserve_batch_size"] for one in told()] == [2, 2], seconds=120
        )
        tiny.wait_for(lambda: {one["normserve_batch_row"] for one in told()} == {0, 1})


def test_what_is_loaded_answers_everywhere_at_once(tmp_path):
    """Also where it takes other tensors than before."""
    tiny.write_plain(tmp_path, "m", tiny.scale(1.0))
    with (
        doubled(tmp_path) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
        two_wires(running.port) as wires,
    ):
        for turn in range(2, 12):
            columns = 2 + turn % 2
            network = tiny.scale(float(turn)) if columns == 2 else tiny.identity(Datatype.FP32)
            put(tmp_path, network)
            assert client.post("/v2/repository/models/m/load").status_code == 200
            for wire in wires:
                reply = ask(wire, *infer("m", 1.0, columns))
                assert reply.status == 200, reply.body
                factor = turn if columns == 2 else 1
                assert reply.json["outputs"][0]["data"] == [factor] * columns
            assert client.post("/v2/repository/models/m/unload").status_code == 200
            for wire in wires:
                assert ask(wire, *infer("m", 1.0, columns)).status == 404


def test_a_model_that_is_replaced_under_traffic_fails_no_request(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    wrong, answered, stop = [], [0] * 4, threading.Event()
    with (
        doubled(tmp_path) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):

        def drive(number):
            with Wire(running.port) as wire:
                while not stop.is_set():
                    reply = ask(wire, *infer("m", 1.0))
                    if reply.status != 200 or reply.json["outputs"][0]["data"] not in (
                        [2, 2],
                        [3, 3],
                    ):
                        wrong.append(reply.body)
                    answered[number] += 1

        threads = [threading.Thread(target=drive, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(10):
            before = list(answered)
            put(tmp_path, tiny.scale(2.0 + turn % 2))
            assert client.post("/v2/repository/models/m/load").status_code == 200
            tiny.wait_for(
                lambda so_far=before: all(a > b for a, b in zip(answered, so_far, strict=True))
            )
        stop.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []


def test_one_that_is_killed_under_load_is_replaced_and_costs_the_other_nothing(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(Datatype.FP32))
    stop, wrong, lost = threading.Event(), [], []
    with doubled(tmp_path) as running, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(running.port)) for _ in range(8)]
        fronts = started(running.lines)
        for wire in wires:
            assert ask(wire).status == 200
        doomed = {wire for wire in wires if ends_at(fronts[0], wire)}
        assert len(doomed) == 4
        answered = dict.fromkeys(wires, 0)

        def drive(wire):
            while not stop.is_set():
                try:
                    reply = ask(wire)
                except (OSError, HTTPException) as err:
                    lost.append((wire, err))
                    return
                if reply.status != 200:
                    wrong.append(reply.body)
                answered[wire] += 1

        threads = [threading.Thread(target=drive, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        tiny.wait_for(lambda: all(answered[wire] > 10 for wire in wires))
        os.kill(fronts[0], signal.SIGKILL)
        tiny.wait_for(lambda: len(started(running.lines)) == WORKERS + 1)
        for _ in range(2 * WORKERS):
            assert_serves(running.port)
        before = dict(answered)
        kept = [wire for wire in wires if wire not in doomed]
        tiny.wait_for(lambda: all(answered[wire] > before[wire] + 10 for wire in kept))
        stop.set()
        for thread in threads:
            thread.join(30)
        assert {wire for wire, _ in lost} == doomed
        assert wrong == []
        pending = 'nv_inference_pending_request_count{model="identity-fp32",version="1"}'
        tiny.wait_for(lambda: metric(running.port, pending) == 0)
        ended = [line for line in running.lines if line["event"] == "HTTP process ended"]
        assert [line["how"] for line in ended] == ["signal 9"]


def test_they_are_replaced_after_what_they_are_forked_from_was_killed(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(Datatype.FP32))
    with doubled(tmp_path, isolation="thread") as running:
        front, _ = started(running.lines)
        status = Path(f"/proc/{front}/status").read_text()
        os.kill(int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL)
        os.kill(front, signal.SIGKILL)
        tiny.wait_for(lambda: len(started(running.lines)) == WORKERS + 1, seconds=60)
        for _ in range(2 * WORKERS):
            assert_serves(running.port)


def test_the_guard_decides_as_if_there_were_none_of_them(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(Datatype.FP32))
    with (
        doubled(tmp_path) as running,
        httpx.Client(base_url=running.url) as client,
    ):
        load = "/v2/repository/models/identity-fp32/load"
        for headers, status in (
            ({}, 200),
            ({"Host": "elsewhere.example"}, 403),
            ({"Origin": "http://elsewhere.example"}, 403),
            ({"X-Forwarded-For": "10.0.0.1"}, 403),
        ):
            assert client.post(load, headers=headers).status_code == status


def test_keys_are_wanted_by_all_of_them(repository):
    keys = {"inference_keys": "open-sesame", "admin_key": "master-key"}
    with (
        process(repository, http_workers=WORKERS, consistency_at_load="false", **keys) as (_, url),
        two_wires(int(url.rpartition(":")[2])) as wires,
    ):
        for wire in wires:
            for key, statuses in (
                (None, (401, 401)),
                ("wrong-key", (401, 401)),
                ("open-sesame", (200, 403)),
                ("master-key", (200, 200)),
            ):
                headers = {} if key is None else {"Authorization": f"Bearer {key}"}
                for path, status in zip(
                    (INFER, "/v2/repository/models/scalar/load"), statuses, strict=True
                ):
                    body = GOOD if path == INFER else b"{}"
                    assert ask(wire, path, body, **headers).status == status


def test_tls_ends_in_them(tmp_path, repository):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    settings = {"tls_certificate_file": certificate, "tls_key_file": key}
    with process(
        repository, verify=context, http_workers=WORKERS, consistency_at_load="false", **settings
    ) as (server, url):
        assert url.startswith("https://")
        for _ in range(2 * WORKERS):
            with httpx.Client(base_url=url, verify=context) as client:
                assert client.post(INFER, content=GOOD).status_code == 200
                assert client.get("/v2/models/identity-fp32").status_code == 200
                assert client.post("/v2/repository/models/scalar/load").status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_requests_that_have_begun_are_answered_when_it_stops(tmp_path):
    tiny.write_plain(tmp_path, "slow", tiny.slow(networks.SLOW))
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    pending = 'nv_inference_pending_request_count{model="slow",version="1"}'
    settings = {"http_workers": WORKERS, "concurrent_runs": 2, "consistency_at_load": "false"}
    with process(tmp_path, **settings) as (server, url):
        port = int(url.rpartition(":")[2])
        with two_wires(port) as (one, other), Wire(port) as idle:
            one.send(request("/v2/models/slow/infer", json.dumps(body).encode()))
            chunk = json.dumps(body).encode()
            other.send(  # by way of the app
                request(
                    "/v2/models/slow/infer",
                    b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk),
                    Transfer_Encoding="chunked",
                )
            )
            tiny.wait_for(lambda: metric(port, pending) == 2)
            server.send_signal(signal.SIGTERM)
            assert idle.is_closed()
            assert one.read().status == 200
            assert other.read().status == 200
            assert one.is_closed()
        assert server.wait(30) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in started(server.lines))


def test_they_end_with_a_server_that_is_killed(tmp_path):
    tiny.write_plain(tmp_path, "identity-fp32", tiny.identity(Datatype.FP32))
    with process(tmp_path, http_workers=WORKERS) as (server, _):
        server.kill()
        server.wait()
        tiny.wait_for(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in started(server.lines))
        )
