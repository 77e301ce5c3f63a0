"""A hundred replacements under load, in a real process, over both transports."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http

from tests.service import tiny

PROGRAM = "from service import load_settings, serve; serve(load_settings())"
REPLACEMENTS = 100
WARM = 20


@contextmanager
def serving(repository):
    environment = {
        "NORMSERVE_REPOSITORY": str(repository),
        "NORMSERVE_HTTP_PORT": "0",
        "NORMSERVE_GRPC_PORT": "0",
        "NORMSERVE_METRICS_PORT": "none",
        "NORMSERVE_LOG_FORMAT": "json",
        "NORMSERVE_LOG_LEVEL": "info",
        "NORMSERVE_CONSISTENCY_AT_LOAD": "false",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = next(
            line for line in map(json.loads, process.stderr) if line["event"] == "listening"
        )
        reader = threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True)
        reader.start()
        yield process, told["url"].removeprefix("http://"), told["grpc"]
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()


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


def resident_bytes(process):
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_hundred_replacements_under_load_lose_no_request_and_no_memory(tmp_path):
    tiny.write_verified(tmp_path, "m", version=1, factor=1.0)
    with serving(tmp_path) as (process, http, grpc):
        admin = tritonclient.http.InferenceServerClient(http)
        tiny.wait_for(lambda: admin.is_model_ready("m"))
        clients = [Client(tritonclient.http, http) for _ in range(2)]
        clients += [Client(tritonclient.grpc, grpc) for _ in range(2)]
        for client in clients:
            client.start()
        before = 0
        for version in range(2, REPLACEMENTS + 2):
            tiny.write_verified(tmp_path, "m", version=version, factor=float(version))
            shutil.rmtree(tmp_path / "m" / str(version - 1))
            admin.load_model("m")
            if version == WARM:
                before = resident_bytes(process)
        after = resident_bytes(process)
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join(20)
        assert [wrong for client in clients for wrong in client.wrong] == []
        assert all(client.answers > REPLACEMENTS for client in clients)
        assert len(set.union(*(client.versions for client in clients))) > REPLACEMENTS / 2
        assert after <= 1.05 * before
        index = admin.get_model_repository_index()
        assert [(e["version"], e["state"]) for e in index] == [(str(REPLACEMENTS + 1), "READY")]
        admin.close()
