"""Replacements under load, in a real process, over both transports."""

import http.client
import json
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.service import tiny
from tests.service.process import children, process, workers

REPLACEMENTS = 100
WARM = 20
NEWER = 10


@contextmanager
def serving(repository, **settings):
    """A server, its addresses, and clients of both transports that ask until the block ends."""
    with process(repository, consistency_at_load="false", **settings) as (server, url):
        http, grpc = url.removeprefix("http://"), server.listening["grpc"]
        clients = [Client(tritonclient.http, http) for _ in range(2)]
        clients += [Client(tritonclient.grpc, grpc) for _ in range(2)]
        for client in clients:
            client.start()
        with tritonclient.http.InferenceServerClient(http) as admin:
            yield server, admin, clients
            for client in clients:
                client.stopped.set()
            for client in clients:
                client.join(20)


class Client(threading.Thread):
    """Asks until it is told to stop; keeps what went wrong."""

    def __init__(self, module, address):
        super().__init__(daemon=True)
        self.module, self.address = module, address
        self.stopped = threading.Event()
        self.answers, self.versions, self.wrong = 0, set(), []

    def run(self):
        with self.module.InferenceServerClient(self.address) as client:
            given = self.module.InferInput("x", [1, 2], "FP32")
            given.set_data_from_numpy(np.ones((1, 2), np.float32))
            while not self.stopped.is_set():
                try:
                    reply = client.infer("m", [given])
                except Exception as err:  # noqa: BLE001  # whatever it is, it is what is counted
                    self.wrong.append(repr(err))
                    return
                response = reply.get_response()
                told = getattr(response, "model_version", None) or response["model_version"]
                factor = float(reply.as_numpy("y")[0, 0])
                self.answers += 1
                self.versions.add(int(told))
                if factor != int(told):
                    self.wrong.append(f"version {told} answered {factor}")


def resident_bytes(server):
    """Of the server and the processes of its models, once those that were replaced have ended."""
    tiny.wait_for(lambda: len(workers(server)) == 1)
    pids = [server.pid, *children(server.pid), *workers(server)]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def states(admin):
    return [(entry["version"], entry["state"]) for entry in admin.get_model_repository_index()]


def test_a_hundred_replacements_under_load_lose_no_request_and_no_memory(tmp_path):
    tiny.write_verified(tmp_path, "m", version=1, factor=1.0)
    with serving(tmp_path) as (server, admin, clients):
        before = 0
        for version in range(2, REPLACEMENTS + 2):
            tiny.write_verified(tmp_path, "m", version=version, factor=float(version))
            shutil.rmtree(tmp_path / "m" / str(version - 1))
            admin.load_model("m")
            if version == WARM:
                before = resident_bytes(server)
        after = resident_bytes(server)
        assert states(admin) == [(str(REPLACEMENTS + 1), "READY")]
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert all(client.answers > REPLACEMENTS for client in clients)
    assert len(set.union(*(client.versions for client in clients))) > REPLACEMENTS / 2
    assert after <= 1.05 * before


@pytest.mark.parametrize("control", ["explicit", "poll"])
def test_the_latest_version_takes_over_under_load_and_the_older_ones_go(tmp_path, control):
    tiny.write_verified(tmp_path, "m", version=1, factor=1.0)
    with serving(tmp_path, model_control=control, poll_seconds=0.1) as (_, admin, clients):
        for version in range(2, NEWER + 1):
            tiny.write_verified(tmp_path, "m", version=version, factor=float(version))
            if control == "explicit":
                admin.load_model("m")
            tiny.wait_for(lambda v=version: states(admin) == [(str(v), "READY")])
        seen = {client: client.answers for client in clients}
        tiny.wait_for(lambda: all(client.answers > seen[client] + 1 for client in clients))
    assert [wrong for client in clients for wrong in client.wrong] == []
    for client in clients:
        assert NEWER in client.versions
    assert len(list((tmp_path / "m").iterdir())) == NEWER + 1


def test_a_request_whose_body_comes_while_its_model_is_replaced_is_answered_by_the_new_one(
    tmp_path,
):
    tiny.write_verified(tmp_path, "m", version=1, factor=2.0)
    ones = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}
    body = json.dumps({"inputs": [ones]}).encode()
    with process(tmp_path, consistency_at_load="false") as (_, url):
        host, port = url.removeprefix("http://").split(":")
        slow = http.client.HTTPConnection(host, int(port), timeout=30)
        slow.putrequest("POST", "/v2/models/m/infer")
        slow.putheader("Content-Length", str(len(body)))
        slow.endheaders()
        slow.send(body[:10])
        with tritonclient.http.InferenceServerClient(f"{host}:{port}") as admin:
            tiny.write_verified(tmp_path, "m", version=2, factor=3.0)
            admin.load_model("m")
            tiny.wait_for(lambda: states(admin) == [("2", "READY")])
        slow.send(body[10:])
        reply = json.loads(slow.getresponse().read())
        slow.close()
    assert reply["model_version"] == "2"
    assert reply["outputs"][0]["data"] == [3, 3]
