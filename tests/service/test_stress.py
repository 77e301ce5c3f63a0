"""Loading, unloading and asking from many threads at once, in a real process."""

import contextlib
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.service import tiny
from tests.service.process import process

THREADS = 16
OPERATIONS = 256
MODELS = {f"m{number}": number + 2.0 for number in range(4)}
OPERATIONS_OF = {"infer": 12, "ready": 2, "index": 2, "metadata": 2, "load": 1, "unload": 1}
BROKEN = "broken"

ANSWERED = {"200", "OK"}
GONE = {"404", "NOT_FOUND", "503", "UNAVAILABLE"}
"""Not there, or not to be asked now: unloaded, being loaded, too much waits."""
DOCUMENTED = {
    "infer": ANSWERED | GONE,
    "ready": ANSWERED | GONE,
    "index": ANSWERED,
    "metadata": ANSWERED | GONE,
    "load": ANSWERED,
    "unload": ANSWERED,
}


class OverHttp:
    """The operations; each gives the status, and what the model made of ones if it was asked."""

    def __init__(self, url, _):
        self.client = httpx.Client(base_url=url, timeout=60)

    def close(self):
        self.client.close()

    def infer(self, name):
        ones = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}
        reply = self.client.post(f"/v2/models/{name}/infer", json={"inputs": [ones]})
        if reply.status_code != 200:
            return self._told(reply)
        return "200", reply.json()["outputs"][0]["data"][0]

    def ready(self, name):
        return self._told(self.client.get(f"/v2/models/{name}/ready"))

    def metadata(self, name):
        return self._told(self.client.get(f"/v2/models/{name}"))

    def index(self, _):
        return self._told(self.client.post("/v2/repository/index"))

    def load(self, name):
        return self._told(self.client.post(f"/v2/repository/models/{name}/load"))

    def unload(self, name):
        return self._told(self.client.post(f"/v2/repository/models/{name}/unload"))

    def _told(self, reply):
        assert reply.status_code == 200 or reply.json()["error"]
        return str(reply.status_code), None


class OverGrpc:
    """The same over the other transport."""

    def __init__(self, _, address):
        self.client = tritonclient.grpc.InferenceServerClient(address)

    def close(self):
        self.client.close()

    def infer(self, name):
        given = tritonclient.grpc.InferInput("x", [1, 2], "FP32")
        given.set_data_from_numpy(np.ones((1, 2), np.float32))
        status, reply = self._told(self.client.infer, name, [given])
        return status, None if reply is None else float(reply.as_numpy("y")[0, 0])

    def ready(self, name):
        return self._told(self.client.is_model_ready, name)[0], None

    def metadata(self, name):
        return self._told(self.client.get_model_metadata, name)[0], None

    def index(self, _):
        return self._told(self.client.get_model_repository_index)[0], None

    def load(self, name):
        return self._told(self.client.load_model, name)[0], None

    def unload(self, name):
        return self._told(self.client.unload_model, name)[0], None

    def _told(self, method, *arguments):
        try:
            return "OK", method(*arguments, client_timeout=60)
        except InferenceServerException as err:
            return err.status().removeprefix("StatusCode."), None


def drive(transport, seed, addresses, start):
    """One thread's operations; gives how often each ended how, and the wrong answers."""
    dice = random.Random(seed)  # noqa: S311  # no secret depends on it
    seen, wrong = Counter(), []
    client = transport(*addresses)
    start.wait()
    for _ in range(OPERATIONS):
        (operation,) = dice.choices(list(OPERATIONS_OF), list(OPERATIONS_OF.values()))
        name = dice.choice(list(MODELS))
        status, answer = getattr(client, operation)(name)
        seen[operation, status] += 1
        if status not in DOCUMENTED[operation] or answer not in (None, MODELS[name]):
            wrong.append((operation, name, status, answer))
        if operation == "load" and dice.random() < 0.2:
            status, _ = client.load(BROKEN)
            if status not in ("400", "FAILED_PRECONDITION"):
                wrong.append(("load", BROKEN, status, None))
    client.close()
    return seen, wrong


def descriptors(server):
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def processes(server):
    """How many there are of the server's: itself, those it has started, and those they have."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            behind_the_name = (folder / "stat").read_text().rpartition(")")[2]
            parents[int(folder.name)] = int(behind_the_name.split()[1])
    found, newest = set(), {server.pid}
    while newest:
        found |= newest
        newest = {pid for pid, parent in parents.items() if parent in newest} - found
    return len(found)


def test_many_threads_that_load_unload_and_ask_leave_a_healthy_server(tmp_path):
    for name, factor in MODELS.items():
        tiny.write_verified(tmp_path, name, factor=factor)
    with process(tmp_path, consistency_at_load="false", strict_readiness="false") as (server, url):
        pass_on = (url, server.listening["grpc"])
        tiny.write_plain(tmp_path, BROKEN, tiny.scale(2.0))  # what is broken is found late
        tiny.write_config(tmp_path, BROKEN, 'output { name: "y" label_filename: "missing" }')
        warm_up = OverHttp(*pass_on)
        assert [warm_up.infer(name)[1] for name in MODELS] == list(MODELS.values())
        warm_up.close()
        before, at_first = descriptors(server), processes(server)
        assert at_first > len(MODELS)
        start = threading.Barrier(THREADS)
        with ThreadPoolExecutor(THREADS) as executor:
            transports = [OverHttp, OverGrpc] * (THREADS // 2)
            driven = [
                executor.submit(drive, transport, seed, pass_on, start)
                for seed, transport in enumerate(transports)
            ]
            results = [future.result(timeout=150) for future in driven]
        assert [each for _, wrong in results for each in wrong] == []
        seen = sum((counts for counts, _ in results), Counter())
        assert seen.total() == THREADS * OPERATIONS
        assert {operation for operation, _ in seen} == set(OPERATIONS_OF)
        assert seen["infer", "200"] + seen["infer", "OK"] > THREADS * OPERATIONS / 8
        for transport in (OverHttp, OverGrpc):
            client = transport(*pass_on)
            for name, factor in MODELS.items():
                assert client.load(name)[0] in ANSWERED
                assert client.infer(name)[1] == factor
            client.close()
        assert httpx.get(f"{url}/v2/health/ready").status_code == 200
        tiny.wait_for(lambda: descriptors(server) <= before + 2, seconds=60)
        tiny.wait_for(lambda: processes(server) <= at_first, seconds=60)
        assert [line for line in server.lines if line.get("level") == "error"] == []
